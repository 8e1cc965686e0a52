import pytest
import torch

from modicum.reading.inputs import Inputs, check_inputs


def make(**changes):
    inputs = Inputs(
        words=torch.tensor([0, 1, 7]),
        vectors=torch.zeros(3, 4),
        characters=torch.zeros(3, 16, dtype=torch.int64),
        passage=torch.tensor([[1, 2, 2], [2, 0, 0]]),
        question=torch.tensor([[1, 0], [2, 1]]),
        match=torch.zeros(2, 3),
    )
    return inputs._replace(**changes)


def test_a_sound_batch_is_accepted():
    check_inputs(make())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": torch.tensor([[1, 0], [0, 0]])}, "question 1 of the batch has no words: leave it out"),
        ({"passage": torch.tensor([[0, 0, 0], [1, 0, 0]])}, "passage 0 of the batch has no words: leave it out"),
        ({"passage": torch.tensor([[1, 0, 2], [1, 0, 0]])}, "passage has padding before a word"),
        ({"passage": torch.tensor([[1, 3, 0], [1, 0, 0]])}, r"passage must hold rows in \[0, 3\), got 0 to 3"),
        ({"vectors": torch.zeros(2, 4)}, r"must have as many rows, got \(3, 2, 3\)"),
    ],
)
def test_batches_that_would_be_answered_with_nonsense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check_inputs(make(**changes))


def test_a_batch_moves_as_a_whole():
    moved = make().to("meta")

    assert {tensor.device.type for tensor in moved} == {"meta"}
