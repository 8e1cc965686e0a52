import subprocess
import sys


def test_storage_imports_without_torch():
    code = "import modicum.storage, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
