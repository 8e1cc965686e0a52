import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modicum.classify.backbones import BasicBlock
from modicum.exporting import templates
from modicum.exporting.folding import fold_batch_norms
from modicum.exporting.templates import TemplateWriter

FEATURES = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def traces(monkeypatch):
    """The modules that are traced."""
    traced, export = [], templates.export_graph
    monkeypatch.setattr(
        templates, "export_graph", lambda module, *args, **kw: traced.append(module) or export(module, *args, **kw)
    )
    return traced


def write(modules, folder):
    """Whether the file of each module answers like it."""
    writer = TemplateWriter()
    for number, module in enumerate(modules):
        path = folder / f"{number}.onnx"
        graph = writer.write(module, FEATURES, path, input_name="features", output_name="output")
        assert graph.file == path.name
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (found,) = session.run(["output"], {"features": FEATURES.numpy()})
        np.testing.assert_allclose(found, module(FEATURES).detach().numpy(), atol=1e-5)


def block(seed, **options):
    torch.manual_seed(seed)
    folded = fold_batch_norms(BasicBlock(4, 4, stride=1, **options)).eval()
    nn.init.normal_(folded.conv2.bias)
    return folded


def test_alike_modules_are_traced_once_and_keep_their_own_weights(tmp_path, traces):
    write([block(0), block(1), block(2)], tmp_path)
    assert len(traces) == 1


def test_a_bias_of_zero_in_the_first_is_not_taken_for_that_of_the_others(tmp_path, traces):
    first = block(0)
    nn.init.zeros_(first.conv2.bias)
    write([first, block(1)], tmp_path)
    assert len(traces) == 1


class Leaky(nn.Module):
    """Lets a share of what is negative pass, which is no weight."""

    def __init__(self, share):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.share = share

    def forward(self, x):
        return F.leaky_relu(self.conv(x), self.share)


def test_modules_that_differ_in_an_attribute_are_traced_apart(tmp_path, traces):
    write([Leaky(0.1).eval(), Leaky(0.5).eval()], tmp_path)
    assert len(traces) == 2


class Doubled(nn.Module):
    """Its weight reaches the graph only doubled."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 1, 1))

    def forward(self, x):
        return x * (2 * self.weight)


def test_weights_that_are_computed_with_are_right_in_each(tmp_path):
    write([Doubled().eval(), Doubled().eval()], tmp_path)


def test_the_module_keeps_its_weights(tmp_path):
    module = block(0)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    write([module], tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_training_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="module must be in evaluation mode to be exported: call eval"):
        write([nn.Conv2d(4, 4, 1)], tmp_path)
