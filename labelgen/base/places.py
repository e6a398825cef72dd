"""Where files lie: on this machine, or in a store such as `s3://bucket/logs` or `memory://logs` that fsspec reaches.

A store has no folders to lock, no renaming and no appending: an object is put whole, or is not there."""

import shutil
from pathlib import Path
from typing import cast

from labelgen.base.errors import UsageError


def place(path: Path | str) -> Path:
    """What stands for `path`: a Path, or for `PROTOCOL://...` an object with the same methods.

    Raises UsageError where what reaches such a store is not installed."""
    if isinstance(path, Path) or "://" not in str(path):
        return Path(path) if isinstance(path, str) else path
    try:
        from upath import UPath

        found = UPath(path)
        _ = found.fs
    except (ImportError, ValueError) as error:
        hint = "pip install -e '.[store]' -c constraints.txt, and what fsspec asks for, such as s3fs"
        raise UsageError(f"{path} cannot be reached: {error}", str(path), hint) from error
    return cast(Path, found)


def in_store(path: Path) -> bool:
    """Whether `path` was made from `PROTOCOL://...`."""
    return not isinstance(path, Path)


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it; one that is not there is no error."""
    if not in_store(path):
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.rmdir(recursive=True)  # type: ignore[call-arg]
