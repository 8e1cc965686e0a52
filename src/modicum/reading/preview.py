"""Some questions of a set, to be looked at before anything is trained on them."""

from pathlib import Path

from modicum.reading.data.corpus import Asked
from modicum.reading.data.opening import open_source
from modicum.storage.outputs import write_output

NUM_SHOWN = 20
_AROUND = 80  # characters shown on each side of an answer


def write_preview(source: str, path: str | Path) -> None:
    """Writes some twenty questions of a set, evenly spread over it, with their answers in the words around them.

    Args:
        source: As for training.
        path: The text file to write.

    Raises:
        DataError: If the set cannot be used.
    """
    asked = [each for corpus in open_source(source).given.values() for each in corpus.asked()]
    step = max(1, len(asked) // NUM_SHOWN)
    write_output(path, "\n\n".join(_shown(each) for each in asked[::step][:NUM_SHOWN]) + "\n")


def _shown(asked: Asked) -> str:
    """Formats title, question, and the passage around the first answer, which is put in guillemets."""
    text, answers = asked.passage.text, asked.question.answers
    if not answers:
        excerpt = f"(no answer) {text[: 2 * _AROUND]}"
    else:
        start, end = answers[0].start, answers[0].end
        excerpt = f"{text[max(start - _AROUND, 0) : start]}«{text[start:end]}»{text[end : end + _AROUND]}"
    return "\n".join([asked.passage.title or "(no title)", asked.question.text, " ".join(excerpt.split())])
