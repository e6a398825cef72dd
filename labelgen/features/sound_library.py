"""Makes torchaudio importable beside a CPU build of torch.

Its published wheels link CUDA libraries, which a CPU build of torch does not bring, so `import torchaudio` fails there;
and transformers imports torchaudio wherever it is installed. Resampling and mel filters are plain torch code that needs
none of these libraries, so the module that loads them is replaced by one that says they are not there."""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

_EXTENSION = "torchaudio._extension"


def prepare_torchaudio() -> None:
    """Let `import torchaudio` succeed, now and in the modules that import it in passing, such as transformers.

    Does nothing where torchaudio is not installed or imported already, where torch has its CUDA libraries, and on
    systems whose wheels link none. May be called any number of times."""
    if sys.platform != "linux" or "torchaudio" in sys.modules or _EXTENSION in sys.modules:
        return
    if find_spec("torchaudio") is None or _torch_has_cuda_libraries():
        return
    sys.modules[_EXTENSION] = _no_extension()


def _torch_has_cuda_libraries() -> bool:
    spec = find_spec("torch")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    return any((Path(folder) / "lib" / "libc10_cuda.so").exists() for folder in folders)


def _no_extension() -> ModuleType:
    """The names that torchaudio's Python code asks its extension for, all of them saying no."""
    module = ModuleType(_EXTENSION, "torchaudio without compiled code")
    module.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        fail_if_no_align=lambda function: _refuse,
    )
    return module


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("torchaudio's aligner needs its compiled code, which needs a CUDA build of torch")
