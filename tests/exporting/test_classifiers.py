import pytest

from modicum.exporting import ExportError
from modicum.exporting.classifiers import read_knob


@pytest.mark.parametrize("knob", [float("inf"), float("nan"), None, "0.5"])
def test_a_manifest_whose_knob_is_no_number_is_refused_by_name(tmp_path, knob):
    message = rf"manifest\.json is damaged: knob must be a finite number, got {knob}.*; export again"
    with pytest.raises(ExportError, match=message):
        read_knob({"knob": knob}, tmp_path)
