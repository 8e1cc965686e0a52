"""The page on adding a system shows one in full; built from the page, it does what every classifier must do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import modicum

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extend.md").read_text()
FILES = dict(re.findall(r"^`([\w/.-]+)`\n\n```\w+\n(.*?)```$", PAGE, flags=re.MULTILINE | re.DOTALL))
(REGISTRATION,) = re.findall(r'^ +"toy": .*\n', PAGE, flags=re.MULTILINE)
SUITES = ("tests/test_contract.py", "tests/classify/test_contract.py")


def test_a_classifier_takes_few_lines_in_few_files():
    assert len(FILES) <= 6
    assert sum(len(text.splitlines()) for text in FILES.values()) <= 120


def test_all_of_it_is_in_a_folder_of_its_own_but_its_recipe():
    assert {str(Path(name).parent) for name in FILES} == {"classify/toy", "recipes"}


def test_classifier_of_the_page_passes_the_contract_tests(tmp_path):
    package = build(tmp_path)
    command = [sys.executable, "-m", "pytest", *SUITES, "-k", "toy", "-n", "0", "-q", "-x"]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    cache = ("-p", "no:cacheprovider", "--basetemp", str(tmp_path / "tests"))
    done = subprocess.run([*command, *cache], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def build(folder: Path) -> Path:
    """Copies the package into a folder, and adds what the page shows."""
    package = shutil.copytree(Path(modicum.__file__).parent, folder / "source" / "modicum")
    for name, text in FILES.items():
        file = package / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    registry = package / "systems.py"
    before, systems, after = registry.read_text().partition("SYSTEMS: Mapping[str, AnySystem] = OnDemand(\n    {\n")
    registry.write_text(before + systems + REGISTRATION + after)
    return package
