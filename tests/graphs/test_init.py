import subprocess
import sys

import pytest

import modicum.graphs


@pytest.mark.parametrize("name", modicum.graphs.__all__)
def test_public_names_are_what_they_say(name):
    assert getattr(modicum.graphs, name).__name__ == name


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match=r"module 'modicum\.graphs' has no attribute 'Grahp'"):
        _ = modicum.graphs.Grahp


def test_importing_the_wing_imports_neither_torch_nor_scikit_learn():
    code = "import modicum.graphs, sys; assert not {'torch', 'sklearn', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
