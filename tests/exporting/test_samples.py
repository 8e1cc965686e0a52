import torch

from modicum.exporting.samples import sample_images


def test_samples_are_fixed_and_differ():
    samples = sample_images(16)
    assert samples.shape == (6, 3, 16, 16)
    assert torch.equal(samples, sample_images(16))
    assert len({sample.numpy().tobytes() for sample in samples}) == 6
