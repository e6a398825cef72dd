"""torchaudio beside a CPU build of torch. Imports neither of them."""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

_EXTENSION = "torchaudio._extension"


def prepare_torchaudio() -> None:
    """Make `import torchaudio` work with a CPU build of torch, also where other modules import it, such as transformers.

    The published wheels link CUDA libraries that a CPU build of torch lacks. Resampling and mel filters are plain torch code
    and need none of them, so the module that loads the libraries is replaced by one that reports them as absent.

    No effect where torchaudio is not installed or already imported, where torch has CUDA libraries, and on systems other
    than Linux. May be called repeatedly."""
    if sys.platform != "linux" or "torchaudio" in sys.modules or _EXTENSION in sys.modules:
        return
    if find_spec("torchaudio") is not None and not _torch_has_cuda_libraries():
        sys.modules[_EXTENSION] = _no_extension()


def _torch_has_cuda_libraries() -> bool:
    spec = find_spec("torch")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    return any((Path(folder) / "lib" / "libc10_cuda.so").exists() for folder in folders)


def _no_extension() -> ModuleType:
    """What torchaudio's Python code imports from its extension, with everything reported as unavailable."""
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
