import pytest
import timm
import torch
from classify_cascade import build


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cascade():
    return build()


@pytest.fixture
def images():
    return torch.randn(12, 3, 48, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def lite():
    return timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
