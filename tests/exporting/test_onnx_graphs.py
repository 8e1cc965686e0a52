import sys

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from modicum.exporting import ExportError, GraphRunner, onnx_graphs
from modicum.exporting.manifest import describe_graph
from modicum.exporting.onnx_graphs import OPSET, export_graph
from modicum.storage import MissingExtraError


class Affine(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, first, second):
        return self.linear(first + second), first - second


def export(module, path, num_samples=2):
    example = torch.zeros(num_samples, 3)
    return export_graph(module, (example, example), path, input_names=["a", "b"], output_names=["sum", "difference"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder, module = tmp_path_factory.mktemp("graph"), Affine().eval()
    return module, folder, export(module, folder / "net.onnx")


@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_any_batch_size_answers_alike(exported, num_samples):
    module, folder, graph = exported
    first, second = torch.randn(2, num_samples, 3, generator=torch.Generator().manual_seed(0))
    found = GraphRunner(folder, graph, threads=1)(first.numpy(), second.numpy())
    with torch.no_grad():
        expected = module(first, second)
    np.testing.assert_allclose(found["sum"], expected[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(found["difference"], expected[1].numpy(), atol=1e-6)


def test_graph_of_batches_of_one_gets_one_sample_at_a_time(tmp_path):
    info, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node("Add", ["a", "b"], ["sum"]),
        onnx.helper.make_node("Sub", ["a", "b"], ["difference"]),
    ]
    ends = ([info(name, kind, [1, 3]) for name in names] for names in (("a", "b"), ("sum", "difference")))
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", *ends)), tmp_path / "one.onnx")
    runner = GraphRunner(tmp_path, describe_graph(tmp_path / "one.onnx", ["a", "b"], ["sum", "difference"], 17))
    first, second = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    found = runner(first, second)
    np.testing.assert_array_equal(found["sum"], first + second)
    np.testing.assert_array_equal(found["difference"], first - second)


class Outer(nn.Module):
    """All products of two rows of numbers, for each sample."""

    def forward(self, first, second):
        return first.unsqueeze(2) * second.unsqueeze(1)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 5, 3), (3, 1, 4)])
def test_named_dimensions_are_of_any_size(tmp_path, sizes):
    samples, rows, columns = sizes
    free = ({0: "batch", 1: "rows"}, {0: "batch", 1: "columns"})
    examples, names = (torch.zeros(2, 4), torch.zeros(2, 6)), {"input_names": ["a", "b"], "output_names": ["outer"]}
    graph = export_graph(Outer().eval(), examples, tmp_path / "net.onnx", **names, free=free)
    first, second = torch.randn(samples, rows), torch.randn(samples, columns)

    found = GraphRunner(tmp_path, graph, threads=1)(first.numpy(), second.numpy())

    np.testing.assert_allclose(found["outer"], Outer()(first, second).numpy(), atol=1e-6)


def test_the_file_stands_alone(exported):
    _, folder, graph = exported
    assert [path.name for path in folder.iterdir()] == ["net.onnx"] == list(graph.sha256)


def test_the_entry_states_names_and_opset(exported):
    _, folder, graph = exported
    (opset,) = [o.version for o in onnx.load(folder / "net.onnx").opset_import if o.domain == ""]
    assert (graph.input_names, graph.output_names) == (("a", "b"), ("sum", "difference"))
    assert graph.opset == OPSET == opset


def test_the_file_names_no_place_on_this_machine(exported):
    _, folder, _ = exported
    assert b".py" not in (folder / "net.onnx").read_bytes()


def test_weights_beyond_the_limit_of_one_file_go_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graphs, "_MAX_FILE_BYTES", 8)
    graph = export(Affine().eval(), tmp_path / "net.onnx")
    assert graph.sha256.keys() == {"net.onnx", "net.onnx.data"} == {path.name for path in tmp_path.iterdir()}
    assert GraphRunner(tmp_path, graph)(*np.zeros((2, 1, 3), np.float32))["sum"].shape == (1, 2)


def test_weights_of_an_earlier_larger_graph_are_removed(tmp_path):
    (tmp_path / "net.onnx.data").touch()
    assert list(export(Affine().eval(), tmp_path / "net.onnx").sha256) == ["net.onnx"]


def test_a_network_in_training_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"evaluation mode to be exported: call eval\(\) on Affine"):
        export(Affine(), tmp_path / "net.onnx")


def test_a_single_sample_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"example_inputs need two samples or more, .* got \(1, 3\)"):
        export(Affine().eval(), tmp_path / "net.onnx", num_samples=1)


def test_a_network_that_cannot_be_exported_leaves_no_file(tmp_path):
    class Branches(nn.Module):
        def forward(self, first, second):
            return (first, second) if first.sum() > 0 else (second, first)

    with pytest.raises(ExportError, match="Branches cannot be written as ONNX"):
        export(Branches().eval(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package} is not installed; .*pip install -e '\.\[export\]'"):
        export(Affine().eval(), tmp_path / "net.onnx")


def test_running_without_onnx_runtime_names_the_extra(exported, monkeypatch):
    _, folder, graph = exported
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"onnxruntime is not installed; .*pip install -e '\.\[export\]'"):
        GraphRunner(folder, graph)


def test_a_file_that_is_no_graph_is_refused(exported, tmp_path):
    _, _, graph = exported
    (tmp_path / "net.onnx").write_bytes(b"not a graph")
    with pytest.raises(ExportError, match=r"ONNX Runtime .* cannot load .*net\.onnx"):
        GraphRunner(tmp_path, graph)
