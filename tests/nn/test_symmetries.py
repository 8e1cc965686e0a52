import torch
from hypothesis import given
from hypothesis import strategies as st

from modicum.nn.symmetries import averaged_over_symmetries

network = averaged_over_symmetries(torch.nn.Conv2d(2, 2, 3, padding=1))


@given(flipped=st.sampled_from([(), (2,), (3,), (2, 3)]), transposed=st.booleans())
def test_the_result_turns_with_the_image(flipped, transposed):
    images = torch.randn(2, 2, 5, 7, generator=torch.Generator().manual_seed(0))

    def turned(given):
        return torch.flip(given.mT if transposed else given, flipped)

    torch.testing.assert_close(network(turned(images)), turned(network(images)))


def test_is_the_mean_over_the_eight():
    first_row = averaged_over_symmetries(lambda images: torch.zeros_like(images).index_fill(2, torch.tensor([0]), 8.0))

    result = first_row(torch.zeros(1, 1, 3, 3))

    torch.testing.assert_close(result[0, 0], torch.tensor([[4.0, 2.0, 4.0], [2.0, 0.0, 2.0], [4.0, 2.0, 4.0]]))
