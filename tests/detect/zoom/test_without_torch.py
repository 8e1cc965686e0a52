"""What an exported detector plans and merges with runs where torch is not installed."""

import subprocess
import sys

MODULES = ("windows", "gain_map", "gains", "planning", "merging", "score_map", "baselines", "limits", "planners")


def test_planning_and_merging_need_no_torch():
    blocked = "import sys; sys.modules['torch'] = None; sys.modules['sklearn'] = None"
    imports = "; ".join(f"import modicum.detect.zoom.{name}" for name in MODULES)

    subprocess.run([sys.executable, "-c", f"{blocked}; {imports}"], check=True)
