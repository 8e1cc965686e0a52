import math

import pytest
import torch

from modicum.reading.answering import Piece, Reader, Seen, look, merge
from modicum.reading.data.batches import Collator
from modicum.reading.data.corpus import Passage
from modicum.reading.data.examples import Example, tokenise
from modicum.reading.data.tokens import tokenize
from modicum.reading.data.vectors import HashedVectors
from modicum.reading.data.vocabulary import Vocabulary
from modicum.reading.inputs import MASKED, Logits

TEXT = "Bako is red.  Miru is  blue ."
PASSAGE = tokenise(Passage(TEXT, ()), tokenize)  # Bako is red . Miru is blue .
QUESTION = ("what", "?")


def windows(*ranges, name="q"):
    return [Example(name, PASSAGE, window, QUESTION) for window in ranges]


def collator(has_no_answer=False):
    return Collator(Vocabulary((), ()), HashedVectors(4), 5, has_no_answer)


def random_logits(batch, seed=0, has_no_answer=False):
    generator = torch.Generator().manual_seed(seed)
    present = batch.inputs.passage != 0
    if has_no_answer:
        present = torch.cat([torch.ones(len(present), 1, dtype=torch.bool), present], dim=1)
    start, end = (torch.randn(present.shape, generator=generator).masked_fill(~present, MASKED) for _ in range(2))
    return Logits(start, end)


def spans_by_hand(window, start, end, longest):
    """Every span of a window as first character, one past the last, and score; the best first."""
    tokens = PASSAGE.tokens[window.start : window.stop]
    found = [
        (tokens[i].start, tokens[j].end, start[i] + end[j])
        for i in range(len(tokens))
        for j in range(i, min(i + longest, len(tokens)))
    ]
    return sorted(found, key=lambda each: -each[2])


@pytest.mark.parametrize("has_no_answer", [False, True])
@pytest.mark.parametrize("n_best", [1, 4])
def test_pieces_are_those_of_all_spans_by_hand(n_best, has_no_answer):
    examples = windows(range(8), range(2, 6))
    batch = collator(has_no_answer)(examples)
    logits = random_logits(batch, has_no_answer=has_no_answer)
    seen = look(batch, logits, answer_tokens=3, n_best=n_best, has_no_answer=has_no_answer)
    for example, start, end, each in zip(examples, logits.start, logits.end, seen, strict=True):
        by_hand = spans_by_hand(example.window, start[has_no_answer:].tolist(), end[has_no_answer:].tolist(), 3)
        assert [piece[:2] for piece in each.pieces] == [span[:2] for span in by_hand[:n_best]]
        assert [piece.score for piece in each.pieces] == pytest.approx([span[2] for span in by_hand[:n_best]], abs=1e-5)
        assert each.normaliser == pytest.approx(float(start.logsumexp(0) + end.logsumexp(0)), abs=1e-4)
        assert each.no_answer == (pytest.approx(float(start[0] + end[0])) if has_no_answer else None)


def test_window_of_few_words_has_fewer_pieces():
    batch = collator()(windows(range(1)))
    (seen,) = look(batch, random_logits(batch), answer_tokens=5, n_best=4)
    assert [piece[:2] for piece in seen.pieces] == [(0, 4)]


def test_answer_is_the_piece_of_the_text_with_its_blanks():
    found = merge(TEXT, [Seen((Piece(14, 27, 0.0),), 0.0, None)])
    assert found.candidates[0].text == "Miru is  blue"


def test_probability_of_one_window_is_that_of_its_softmax():
    found = merge(TEXT, [Seen((Piece(0, 4, 1.5), Piece(8, 11, 0.5)), 2.0, None)], n_best=2)
    assert [each.probability for each in found.candidates] == pytest.approx([math.exp(-0.5), math.exp(-1.5)])
    assert (found.no_answer, found.margin) == (None, math.inf)


def test_windows_compare_by_scores_and_share_the_probability():
    sure_in_itself = Seen((Piece(0, 4, 1.0),), 1.0, None)  # all of its window's probability
    better = Seen((Piece(14, 18, 3.0),), 3.5, None)
    found = merge(TEXT, [sure_in_itself, better], n_best=3)
    assert [each.text for each in found.candidates] == ["Miru", "Bako"]
    total = math.exp(1.0) + math.exp(3.5)
    assert [each.probability for each in found.candidates] == pytest.approx([math.exp(3) / total, math.exp(1) / total])


def test_piece_seen_in_two_windows_stands_once_with_its_better_score():
    found = merge(TEXT, [Seen((Piece(0, 4, 1.0),), 2.0, None), Seen((Piece(0, 4, 1.5),), 2.0, None)], n_best=5)
    assert len(found.candidates) == 1
    assert found.candidates[0].probability == pytest.approx(math.exp(1.5) / (2 * math.exp(2)))


def test_no_answer_needs_all_windows_to_have_none():
    first = Seen((Piece(0, 4, 1.0),), 4.0, 3.0)
    second = Seen((Piece(14, 18, 2.0),), 4.0, 0.5)
    found = merge(TEXT, [first, second])
    assert found.margin == pytest.approx(2.0 - 0.5)
    assert found.no_answer == pytest.approx(math.exp(0.5) / (2 * math.exp(4)))
    assert (found.text(margin=1.4), found.text(margin=1.5)) == ("Miru", "")


def test_reader_answers_in_the_order_of_the_questions_whatever_the_batches():
    asked = [windows(range(8), name="a"), windows(range(4), range(2, 6), range(4, 8), name="b"), windows(range(3))]
    shapes = []

    def logits(inputs):
        shapes.append(tuple(inputs.passage.shape))
        of_words = inputs.vectors[inputs.passage].sum(2)  # of the word alone, whatever its row in the batch
        return Logits(*(torch.where(inputs.passage != 0, of_words, MASKED) for _ in range(2)))

    alone = [found for each in asked for found in Reader(logits, collator(), 2).find([each])]
    shapes.clear()
    assert Reader(logits, collator(), 2, batch_tokens=8).find(asked) == alone
    assert max(rows * words for rows, words in shapes) == 8
    assert len(shapes) == 3  # that of three words stands with one of four
