import pytest
import torch
from safetensors.torch import save_file

from modicum.storage import WeightsError
from modicum.storage.states import read_state

STATE = {"a": torch.ones(2, 3), "count": torch.tensor(3)}


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


def test_both_formats_are_read(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    torch.save({"state_dict": STATE, "epoch": 1}, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        torch.testing.assert_close(read_state(tmp_path / name), STATE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_endless_values_are_refused(tmp_path, value, dtype):
    save_file(STATE | {"b": torch.tensor([1.0, value], dtype=dtype)}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"a\.safetensors holds values that are not finite, in 'b': give other"):
        read_state(tmp_path / "a.safetensors")


def test_large_finite_values_are_read(tmp_path):
    save_file({"a": torch.full((8,), 3e38)}, tmp_path / "a.safetensors")
    assert read_state(tmp_path / "a.safetensors")["a"][0] == 3e38


@pytest.mark.parametrize("content", [Malicious(), [1, 2], {"a": 1}, {}], ids=["code", "list", "number", "empty"])
def test_file_of_something_else_is_refused_without_advice_to_trust_it(tmp_path, content, capsys):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(
        WeightsError, match=r"a\.pt (is damaged, or holds more than plain tensors|holds no state)"
    ) as told:
        read_state(tmp_path / "a.pt")
    assert "weights_only" not in str(told.value)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_file_is_named(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(WeightsError, match=r"a\.\w+ is damaged"):
        read_state(tmp_path / f"a{suffix}")
