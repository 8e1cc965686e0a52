"""What a command imports: as little as it needs."""

import subprocess
import sys

MODULES = 80  # of modicum, in a prediction with a classifier; 136 when all networks and the training were imported


def test_prediction_imports_neither_trainer_nor_plots_nor_the_networks_of_other_systems(quick_run, inputs_of):
    good, _, _ = inputs_of("drnet")
    code = f"""
import sys
from modicum.cli import main
assert main(["predict", {str(quick_run("drnet"))!r}, {str(good)!r}]) == 0
slow = {{"lightning", "matplotlib", "torchmetrics", "sklearn", "pandas"}} & set(sys.modules)
assert not slow, slow
own = [name for name in sys.modules if name.split(".")[0] == "modicum"]
others = (["restore"], ["saliency"], ["reading"], ["graphs"], ["detect"])
assert not [name for name in own if name.split(".")[1:2] in others]
assert len(own) <= {MODULES}, own
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
