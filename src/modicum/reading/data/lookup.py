"""The embedded default: a procedural look-up task that can only be solved by matching question and passage.

A passage is a list of facts, "the king of dorana is bel tiku" or "bel tiku is the king of dorana", one for each entity;
a question asks for the value of one. The words are made up of syllables. No entity occurs in two parts, so what was
learnt by heart is worth nothing in the test; who points at a random value is right as often as one in the number of
facts. Figures on this task say that everything works, and nothing about text.
"""

from itertools import product

import numpy as np

from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.splits import Parts
from modicum.storage.errors import DataError

NAME = "procedural look-up task: made-up facts about made-up entities"
ORIGIN = "embedded:procedural-look-up"

_RELATIONS = ("capital", "king", "language", "river", "colour", "founder", "anthem", "currency")
_SYLLABLES = tuple("".join(parts) for parts in product("bdfgklmnprstvz", "aeiou", ("", "n", "r", "s")))
_FACTS = (3, 6)  # fewest and most of a passage
_VALUE_WORDS = (1, 3)
_NUM_VALUE_WORDS = 500  # of all parts together
_SHARES = (0.8, 0.1, 0.1)  # of the entities, for each part


def draw_lookup(*, seed: int = 0, sizes: tuple[int, int, int] = (2000, 100, 200)) -> Parts:
    """Draws the task, a function of its arguments alone; no entity is in two parts.

    Args:
        seed: The same seed gives the same task.
        sizes: Passages of train, calibration and test; each has a question for each of its 3 to 6 facts.

    Raises:
        DataError: If a part is empty.
    """
    if min(sizes) < 1:
        raise DataError(f"the look-up task needs at least one passage in each part, got sizes {sizes}")
    rng = np.random.default_rng(seed)
    words = ["".join(parts) for parts in product(_SYLLABLES, _SYLLABLES)]
    stock = [words[place] for place in rng.permutation(len(words))]
    values, entities = stock[:_NUM_VALUE_WORDS], stock[_NUM_VALUE_WORDS:]
    ends = (np.cumsum((0, *_SHARES)) * len(entities)).astype(int)
    return Parts(
        *(
            _draw_part(part, size, entities[first:last], values, rng)
            for part, size, first, last in zip(Parts._fields, sizes, ends, ends[1:], strict=False)
        )
    )


def _draw_part(part: str, size: int, entities: list[str], values: list[str], rng: np.random.Generator) -> Corpus:
    return Corpus(tuple(_draw_passage(f"{part}-{number}", entities, values, rng) for number in range(size)), "1.1")


def _draw_passage(name: str, entities: list[str], values: list[str], rng: np.random.Generator) -> Passage:
    text = ""
    questions: list[Question] = []
    count = int(rng.integers(*_FACTS, endpoint=True))
    for place, entity in enumerate(entities[index] for index in rng.choice(len(entities), count, replace=False)):
        relation = _RELATIONS[rng.integers(len(_RELATIONS))]
        words = rng.choice(len(values), rng.integers(*_VALUE_WORDS, endpoint=True), replace=False)
        value = " ".join(values[index] for index in words)
        is_last = rng.random() < 0.5
        before, after = (f"the {relation} of {entity} is ", "") if is_last else ("", f" is the {relation} of {entity}")
        answer = Answer(value, len(text) + len(before))
        text += f"{before}{value}{after} . "
        questions.append(Question(f"{name}-{place}", f"what is the {relation} of {entity} ?", (answer,)))
    return Passage(text.rstrip(), tuple(questions), title=name)
