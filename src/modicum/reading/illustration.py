"""Questions to look at: answered well and badly, and what the network attended to."""

# n words of a piece of a passage, m words of a question
from collections.abc import Mapping
from dataclasses import dataclass, replace

from modicum.reading.answering import Candidate, Found
from modicum.reading.data.batches import Collator
from modicum.reading.data.corpus import Asked, Corpus
from modicum.reading.data.examples import Example as Window
from modicum.reading.data.examples import reading_examples
from modicum.reading.data.tokens import tokenizer
from modicum.reading.metrics import QuestionScore, Scores
from modicum.reading.qanet.network import QANet
from modicum.reading.recipe import TextOptions
from modicum.reading.results import Attended, Example

NUM_EXAMPLES = 6  # of each kind
CONTEXT_TOKENS = 10  # shown on each side of an answer


@dataclass(frozen=True)
class Illustrator:
    """Shows what a network made of single questions.

    Attributes:
        network: In evaluation mode.
        collator: Of its training.
        text: How text is cut.
    """

    network: QANet
    collator: Collator
    text: TextOptions

    def show(self, asked: Asked, found: Found, answer: str, f1: float) -> Example:
        """Returns a question with its answer, and where attention goes around the best candidate."""
        best = found.candidates[0]
        window, first, last = self._locate(asked, best)
        shown = range(max(first - CONTEXT_TOKENS, 0), min(last + 1 + CONTEXT_TOKENS, len(window.window)))
        inputs = self.collator([window]).inputs.to(next(self.network.parameters()).device)
        weights = self.network.attention_to_question(inputs)[0].float().cpu().numpy()  # (L, m)
        tokens = window.passage.tokens[window.window.start : window.window.stop]
        return Example(
            question=asked.question.text,
            golds=tuple(gold.text for gold in asked.question.answers),
            answer=answer,
            probability=best.probability if answer else found.no_answer or 0.0,
            f1=f1,
            sentence=asked.passage.text[tokens[shown.start].start : tokens[shown.stop - 1].end],
            attended=Attended(
                tuple(tokens[place].text for place in shown), window.question, weights[shown.start : shown.stop]
            ),
        )

    def _locate(self, asked: Asked, best: Candidate) -> tuple[Window, int, int]:
        """Returns the first window that holds a candidate, and the candidate's first and last token in it."""
        alone = Corpus((replace(asked.passage, questions=(asked.question,)),), "2.0")
        for window in reading_examples(alone, tokenizer(self.text.tokenizer), self.text):
            tokens = window.passage.tokens[window.window.start : window.window.stop]
            starts = {token.start: place for place, token in enumerate(tokens)}
            ends = {token.end: place for place, token in enumerate(tokens)}
            if best.start in starts and best.end in ends:
                return window, starts[best.start], ends[best.end]
        raise ValueError(f"{best.text!r} is in no window of its passage: it was found with other options")


def choose_examples(
    illustrator: Illustrator, corpus: Corpus, found: Mapping[str, Found], texts: Mapping[str, str], scores: Scores
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Chooses questions answered correctly, from sure to unsure, and questions answered wrongly, the surest first.

    Args:
        illustrator: Shows them.
        corpus: The questions.
        found: What was found, by id.
        texts: The answers, by id.
        scores: The scores of the answers.
    """
    asked = {each.question.id: each for each in corpus.asked()}
    ranked = sorted(scores.questions, key=lambda row: -found[row.id].candidates[0].probability)
    right = [row for row in ranked if row.exact]
    wrong = [row for row in ranked if not row.f1]

    def show(rows: list[QuestionScore]) -> tuple[Example, ...]:
        return tuple(illustrator.show(asked[row.id], found[row.id], texts[row.id], row.f1) for row in rows)

    return show(right[:: max(1, len(right) // NUM_EXAMPLES)][:NUM_EXAMPLES]), show(wrong[:NUM_EXAMPLES])
