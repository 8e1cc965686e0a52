import torch

from modicum.reading.inputs import Inputs


def test_a_batch_moves_as_a_whole():
    ids = torch.zeros(2, 3, dtype=torch.int64)
    inputs = Inputs(torch.arange(3), torch.zeros(3, 4), torch.zeros(3, 16, dtype=torch.int64), ids, ids, ids.float())

    moved = inputs.to("meta")

    assert {tensor.device.type for tensor in moved} == {"meta"}
