import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from labelgen.features import sound
from labelgen.features.sound import prepare_torchaudio

EXTENSION = "torchaudio._extension"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux machine with torch's libraries in the folder that is given, and torchaudio not imported yet."""
    (tmp_path / "lib").mkdir()
    spec = ModuleSpec("torch", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(sound, "find_spec", lambda name: spec)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("torchaudio", EXTENSION):
        monkeypatch.setitem(sys.modules, name, sys)  # so that what is there now comes back after the test
        monkeypatch.delitem(sys.modules, name)
    return tmp_path / "lib"


def test_without_cuda_libraries_the_extension_says_that_it_is_not_there(machine: Path):
    prepare_torchaudio()
    extension = sys.modules[EXTENSION]
    assert extension._IS_TORCHAUDIO_EXT_AVAILABLE is False
    assert extension._IS_ALIGN_AVAILABLE is False
    with pytest.raises(RuntimeError, match="needs a CUDA build"):
        extension.fail_if_no_align(len)([])


def test_with_cuda_libraries_nothing_is_touched(machine: Path):
    (machine / "libc10_cuda.so").touch()
    prepare_torchaudio()
    assert EXTENSION not in sys.modules


def test_without_torchaudio_or_on_another_system_nothing_is_touched(machine: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    prepare_torchaudio()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sound, "find_spec", lambda name: None)
    prepare_torchaudio()
    assert EXTENSION not in sys.modules
