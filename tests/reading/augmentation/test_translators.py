import importlib

import pytest

from modicum.reading.augmentation import translators
from modicum.reading.augmentation.translators import CTranslate2Translator, MarianTranslator
from modicum.storage.errors import DataError, MissingExtraError


@pytest.mark.parametrize("package", ["transformers", "sentencepiece", "ctranslate2"])
def test_missing_package_names_the_extra(package, monkeypatch, tmp_path):
    real = importlib.import_module

    def import_module(name):
        if name == package:
            raise ImportError(name)
        return object() if name in ("transformers", "sentencepiece", "ctranslate2") else real(name)

    monkeypatch.setattr(translators, "import_module", import_module)
    kind = CTranslate2Translator if package == "ctranslate2" else MarianTranslator
    with pytest.raises(MissingExtraError, match=rf"{package} is not installed; .*pip install -e '\.\[translate\]'"):
        kind(tmp_path)


def test_folder_without_a_converted_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(translators, "import_module", lambda name: object())
    with pytest.raises(DataError, match=r"holds no converted model: it needs model\.bin, source\.spm and target\.spm"):
        CTranslate2Translator(tmp_path)


def test_packages_of_argos_are_known(tmp_path):
    (tmp_path / "model").mkdir()
    for name in ("model/model.bin", "sentencepiece.model"):
        (tmp_path / name).write_bytes(b"")
    model, source, target = translators._parts(tmp_path)
    assert (model.name, source.name, target.name) == ("model", "sentencepiece.model", "sentencepiece.model")
