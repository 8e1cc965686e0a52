import subprocess
import sys


def test_export_imports_without_torch_and_without_the_extra():
    code = "import modicum.exporting, sys; assert not {'torch', 'onnx', 'onnxscript', 'onnxruntime'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
