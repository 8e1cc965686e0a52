import json
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file
from torch import nn

from modicum.storage import WeightsError, read_header
from modicum.storage.header import update_notes, write_weights
from modicum.storage.weights import load_network, save_network

UNHURRIED = settings(deadline=None)  # the first example waits for imports and disks


class Tiny(nn.Module):
    storage_name = "tiny"

    def __init__(self, width, *, depth=1, body=None):
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.width, self.depth = width, depth
        self.body = body or nn.Identity()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("derived", torch.arange(3), persistent=False)

    def storage_config(self):
        return {"width": self.width, "depth": self.depth}


class Tied(Tiny):
    storage_name = "tied"

    def __init__(self, width):
        super().__init__(width, depth=2)
        self.layers[1].weight = self.layers[0].weight
        self.layers[1].bias.data = self.layers[0].weight.data[0]

    def storage_config(self):
        return {"width": self.width}


class Said(nn.Module):
    """A network whose name, config and one tensor a test chooses."""

    def __init__(self, name="said", config=None, tensor=None):
        super().__init__()
        self.storage_name, self.config = name, config or {}
        self.register_buffer("tensor", torch.zeros(2) if tensor is None else tensor)

    def storage_config(self):
        return self.config


BUILDERS = {"tiny": Tiny, "tied": Tied, "said": Said}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def assert_same_state(a, b):
    torch.testing.assert_close(dict(a.state_dict()), dict(b.state_dict()), rtol=0, atol=0)


def rewrite(path, tensors):
    """Writes the file anew with other tensors; ``None`` drops one."""
    content = path.read_bytes()
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    state = load_file(path) | tensors
    write_weights(path, metadata, save({name: tensor for name, tensor in state.items() if tensor is not None}))


class TestRoundTrip:
    @UNHURRIED
    @given(width=st.integers(1, 5), depth=st.integers(0, 3))
    def test_weights_and_config_come_back(self, scratch, width, depth):
        network = Tiny(width, depth=depth)
        save_network(scratch / "a.safetensors", network)
        loaded = load_network(scratch / "a.safetensors", BUILDERS)
        assert loaded.storage_config() == network.storage_config()
        assert_same_state(loaded, network)

    def test_loaded_network_is_in_evaluation_mode(self, path):
        save_network(path, Tiny(2).train())
        assert not load_network(path, BUILDERS).training

    def test_run_folder_stands_for_its_weights(self, path):
        save_network(path, Tiny(2))
        assert load_network(path.parent, BUILDERS).width == 2

    def test_parts_reach_the_builder(self, path):
        body = nn.Linear(2, 2)
        save_network(path, Tiny(2, body=body))
        assert_same_state(load_network(path, BUILDERS, body=nn.Linear(2, 2)).body, body)

    def test_tied_weights_come_back_tied(self, path):
        network = Tied(3)
        save_network(path, network)
        loaded = load_network(path, BUILDERS)
        assert_same_state(loaded, network)
        assert loaded.layers[0].weight is loaded.layers[1].weight

    @pytest.mark.parametrize(
        "tensor",
        [
            torch.arange(6.0).view(2, 3).T,
            torch.arange(6.0)[2:4],
            torch.tensor(3.0).expand(4),
            torch.zeros(0, 3),
            torch.tensor([True]),
            torch.ones(2, dtype=torch.complex64),
        ],
        ids=["transposed", "slice", "expanded", "empty", "boolean", "complex"],
    )
    def test_unusual_tensors_come_back(self, path, tensor):
        save_network(path, Said(tensor=tensor))
        loaded = load_network(path, {"said": lambda: Said(tensor=torch.empty_like(tensor).contiguous())})
        torch.testing.assert_close(loaded.tensor, tensor, equal_nan=True)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_precision_loads_as_the_networks(self, path, dtype):
        network = Tiny(2)
        save_network(path, network.to(dtype))
        loaded = load_network(path, BUILDERS)
        assert_same_state(loaded, network.float())

    def test_non_persistent_buffers_are_left_out(self, path):
        save_network(path, Tiny(2))
        assert "derived" not in load_file(path)

    @pytest.mark.parametrize("compiled", [lambda n: torch.compile(n), lambda n: n.append(torch.compile(n.pop(0)))])
    def test_compiling_leaves_no_mark(self, path, compiled):
        network = Tiny(2)
        expected = set(network.state_dict())
        network.layers = compiled(network.layers)
        save_network(path, torch.compile(network))
        assert set(load_file(path)) == expected

    def test_saving_leaves_the_network_as_it_was(self, path):
        network = Tied(3).train()
        save_network(path, network)
        assert network.training
        assert network.layers[0].weight.requires_grad

    def test_a_failed_save_leaves_the_old_file(self, path):
        network = Tiny(2)
        save_network(path, network)
        with pytest.raises(ValueError, match="not plain JSON data"):
            save_network(path, Tiny(3), notes={"loss": float("nan")})
        assert_same_state(load_network(path, BUILDERS), network)
        assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_header_tells_what_was_saved(path):
    save_network(path, Tiny(2), notes={"accuracy": 0.9, "klassen": ["Bär"]})
    header = read_header(path)
    assert (header.network, header.config) == ("tiny", {"width": 2, "depth": 1})
    assert header.notes == {"accuracy": 0.9, "klassen": ["Bär"]}


class TestSaveRefuses:
    def test_a_network_without_name(self, path):
        with pytest.raises(TypeError, match="Linear cannot be saved: give it `storage_name` and `storage_config"):
            save_network(path, nn.Linear(1, 1))

    def test_a_config_that_json_cannot_say(self, path):
        with pytest.raises(ValueError, match=r"not plain JSON data: .*dtype"):
            save_network(path, Said(config={"dtype": torch.float32}))

    def test_a_state_that_is_no_tensor(self, path):
        class Extra(Said):
            def get_extra_state(self):
                return {"steps": 3}

        with pytest.raises(TypeError, match="_extra_state of Extra is a dict: only tensors can be saved"):
            save_network(path, Extra())


class TestLoadRefuses:
    def test_a_missing_file(self, path):
        with pytest.raises(WeightsError, match=r"model\.safetensors does not exist"):
            load_network(path, BUILDERS)

    def test_a_file_of_another_program(self, path):
        save_file({"a": torch.ones(1)}, path, {"format": "pt"})
        with pytest.raises(WeightsError, match="that modicum did not write"):
            load_network(path, BUILDERS)

    @UNHURRIED
    @given(st.binary(max_size=64))
    def test_any_other_bytes(self, scratch, content):
        (scratch / "b.safetensors").write_bytes(content)
        with pytest.raises(WeightsError):
            load_network(scratch / "b.safetensors", BUILDERS)

    @UNHURRIED
    @given(st.data())
    def test_a_file_cut_anywhere(self, scratch, data):
        save_network(scratch / "c.safetensors", Tiny(2))
        content = (scratch / "c.safetensors").read_bytes()
        (scratch / "c.safetensors").write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(WeightsError, match="truncated"):
            load_network(scratch / "c.safetensors", BUILDERS)

    def test_content_that_safetensors_refuses(self, path):
        save_network(path, Tiny(2))
        path.write_bytes(path.read_bytes() + b"more")
        with pytest.raises(WeightsError, match=r"is damaged \(.*\): copy or download it again"):
            load_network(path, BUILDERS)

    def test_a_name_that_is_nearly_right(self, path):
        save_network(path, Said("tinny"))
        with pytest.raises(
            WeightsError, match=r"'tinny', which is not known here; did you mean 'tiny'.*: said, tied, tiny$"
        ):
            load_network(path, BUILDERS)

    def test_a_name_that_python_could_import(self, path, tmp_path):
        save_network(path, Said("os.system", {"command": f"touch {tmp_path / 'executed'}"}))
        with pytest.raises(WeightsError, match=r"'os\.system', which is not known here; known: said, tied, tiny$"):
            load_network(path, BUILDERS)
        assert not (tmp_path / "executed").exists()

    def test_an_unknown_argument(self, path):
        save_network(path, Said("tiny", {"width": 2, "colour": "red"}))
        with pytest.raises(WeightsError, match=r"builder of 'tiny' does not take this config: .*argument 'colour'"):
            load_network(path, BUILDERS)

    def test_a_missing_argument(self, path):
        save_network(path, Said("tiny"))
        with pytest.raises(WeightsError, match=r"builder of 'tiny' does not take this config: .*argument: 'width'"):
            load_network(path, BUILDERS)

    @pytest.mark.parametrize(("width", "why"), [(0, "width must be at least 1, got 0"), ("two", "not supported")])
    def test_a_value_that_the_builder_refuses(self, path, width, why):
        save_network(path, Said("tiny", {"width": width}))
        with pytest.raises(WeightsError, match=f"builder of 'tiny' refuses its config: .*{why}"):
            load_network(path, BUILDERS)

    def test_a_part_that_the_config_has_already(self, path):
        save_network(path, Tiny(2))
        with pytest.raises(ValueError, match=r"depth, width stand in the config .* already: do not pass them"):
            load_network(path, BUILDERS, width=3, depth=1)


class TestMisfits:
    @pytest.fixture
    def stored(self, path):
        save_network(path, Tiny(2))
        return path

    def test_missing_tensors(self, stored):
        rewrite(stored, {"layers.0.bias": None})
        with pytest.raises(
            WeightsError, match=r"does not fit the network 'tiny' .*: 1 tensor missing: layers.0.bias \(2,\)\. Use"
        ):
            load_network(stored, BUILDERS)

    def test_unknown_tensors(self, stored):
        rewrite(stored, {"extra": torch.zeros(3)})
        with pytest.raises(WeightsError, match=r": 1 tensor unknown: extra \(3,\)\. Use the modicum that wrote it"):
            load_network(stored, BUILDERS)

    def test_wrong_shapes(self, stored):
        rewrite(stored, {"layers.0.bias": torch.zeros(7)})
        with pytest.raises(
            WeightsError, match=r"1 tensor of wrong shape: layers.0.bias found \(7,\), expected \(2,\)\."
        ):
            load_network(stored, BUILDERS)

    @pytest.mark.parametrize(
        ("dtype", "kind"), [(torch.int8, "integer"), (torch.bool, "boolean"), (torch.complex64, "complex")]
    )
    def test_wrong_types(self, stored, dtype, kind):
        rewrite(stored, {"layers.0.bias": torch.zeros(2, dtype=dtype)})
        with pytest.raises(WeightsError, match=f"1 tensor of wrong type: layers.0.bias found {kind}, expected float"):
            load_network(stored, BUILDERS)

    def test_five_are_named_and_all_are_counted(self, stored):
        rewrite(stored, {f"extra{i}": torch.zeros(1) for i in range(7)})
        with pytest.raises(WeightsError, match=r"7 tensors unknown: (extra\d \(1,\), ){5}\.\.\.\. Use"):
            load_network(stored, BUILDERS)

    def test_all_kinds_are_told_together(self, stored):
        rewrite(stored, {"layers.0.bias": None, "norm.weight": torch.zeros(1), "extra": torch.zeros(1)})
        with pytest.raises(
            WeightsError, match=r"1 tensor missing: .*; 1 tensor unknown: .*; 1 tensor of wrong shape: "
        ):
            load_network(stored, BUILDERS)


def change(path, where):
    """Flips a bit of a file."""
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)


class TestIntegrity:
    @pytest.mark.parametrize("place", [-1, -7, -40])
    def test_changed_numbers_are_refused(self, path, place):
        save_network(path, Tiny(3))
        change(path, place)
        with pytest.raises(
            WeightsError, match=r"model\.safetensors is not as it was written \(its digest differs\): copy"
        ):
            load_network(path, BUILDERS)

    def test_swapped_tensors_are_refused(self, path):
        save_network(path, Tiny(3, depth=2))
        content = path.read_bytes()
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        state = load_file(path)
        first, second = "layers.0.bias", "layers.1.bias"
        save_file(state | {first: state[second], second: state[first]}, path, metadata)
        with pytest.raises(WeightsError, match="is not as it was written"):
            load_network(path, BUILDERS)

    def test_changed_notes_are_refused(self, path):
        save_network(path, Tiny(3), notes={"classes": ["cat"]})
        path.write_bytes(path.read_bytes().replace(b"cat", b"dog"))
        with pytest.raises(WeightsError, match="is not as it was written"):
            load_network(path, BUILDERS)

    def test_file_without_digest_is_refused_with_the_command_that_adds_one(self, path):
        save_network(path, Tiny(3))
        content = path.read_bytes()
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        del metadata["digest"]
        save_file(load_file(path), path, metadata)
        with pytest.raises(WeightsError, match=r"has no digest: an older modicum wrote it, .* modicum adopt "):
            load_network(path, BUILDERS)

    def test_endless_weights_are_refused_although_the_digest_is_right(self, path):
        network = Tiny(3)
        network.layers[0].bias.data[1] = float("nan")
        save_network(path, network)
        with pytest.raises(WeightsError, match=r"holds values that are not finite, in 'layers\.0\.bias'"):
            load_network(path, BUILDERS)

    def test_equal_networks_give_equal_bytes(self, path):
        network = Tiny(4, depth=3)
        notes = {f"note {n}": n for n in range(20)}
        save_network(path, network, notes=notes)
        save_network(path.with_name("again"), network, notes=notes)
        assert path.read_bytes() == path.with_name("again").read_bytes()

    def test_updated_notes_keep_the_weights(self, path):
        network = Tiny(4)
        save_network(path, network, notes={"a": 1, "b": 2})
        update_notes(path, {"b": 3})
        assert read_header(path).notes == {"a": 1, "b": 3}
        assert_same_state(load_network(path, BUILDERS), network)

    @pytest.mark.parametrize(("width", "depth"), [(3, 100_000), (10**9, 1), (10**30, 1)])
    def test_config_that_asks_for_far_more_than_the_file_holds_is_refused_at_once(self, path, width, depth):
        save_network(path, Tiny(3))
        content = path.read_bytes()
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        metadata["config"] = json.dumps({"width": width, "depth": depth})
        write_weights(path, metadata, content)
        started = time.process_time()
        with pytest.raises(WeightsError, match=r"far more than it holds|does not fit|refuses its config"):
            load_network(path, BUILDERS)
        assert time.process_time() - started < 3
