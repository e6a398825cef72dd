"""The folder of labeled records: which files lie where, who may write, and what is left behind by a kill.

OUT/a.jsonl                      labeled records, at the input's relative path
OUT/a.jsonl.quarantine.jsonl     its rejected records with their reasons, where there are some
OUT/manifest.json                written last
OUT/.labeling/                  while a run is unfinished: ledger.jsonl, lock, and parts/a.jsonl/000000.jsonl

In a store (base/files.py) there is no lock: whoever runs there sees to it that no two runs share an output."""

import fcntl
import glob
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.files import is_remote, remove_tree, sweep
from labelgen.data.own import SUFFIXES, shard_files

MANIFEST = "manifest.json"
_WORK = ".labeling"


def input_files(source: Path) -> dict[str, Path]:
    """The record files below `source` by relative path, in order. Raises UsageError where there are none."""
    files = shard_files(source)
    root = source if source.is_dir() else source.parent
    for file in files:
        if not file.name.endswith(SUFFIXES):
            known = ", ".join(SUFFIXES)
            raise UsageError(f"cannot tell the form of {file.name}", str(file), f"let the name end in {known}")
    return {file.relative_to(root).as_posix(): file for file in files}


class Folder:
    """The paths of one output folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.manifest = out / MANIFEST
        self.work = out / _WORK
        self.ledger = self.work / "ledger.jsonl"

    def output(self, path: str) -> Path:
        return self.out / path

    def quarantine(self, path: str) -> Path:
        return self.out / f"{path}.quarantine.jsonl"

    def parts(self, path: str) -> Path:
        return self.work / "parts" / path

    def part(self, path: str, index: int) -> Path:
        return self.parts(path) / f"{index:06d}.jsonl"

    def part_quarantine(self, path: str, index: int) -> Path:
        return self.parts(path) / f"{index:06d}.quarantine.jsonl"

    def is_foreign(self) -> bool:
        """Whether it holds something that no run of ours left there."""
        if self.manifest.exists() or self.ledger.exists() or not self.out.exists():
            return False
        # A run that was killed before its first commit leaves at most its work folder.
        return any(child.name != _WORK for child in self.out.iterdir())

    def refuse_foreign(self, force: bool) -> None:
        """Raises UsageError where the output is a file, or, without force, holds what no run of ours left there."""
        if self.out.exists() and not self.out.is_dir():
            raise UsageError(f"{self.out} is a file, a folder is needed", str(self.out), "name another output folder")
        if self.is_foreign() and not force:
            hint = "name another output folder, or give --force"
            raise UsageError(f"{self.out} is not empty and holds no labeled log", str(self.out), hint)

    def sweep(self, path: Path) -> None:
        """Remove what a killed run left of `path` under temporary names; a store has none."""
        if is_remote(path):
            return
        sweep(path.parent, glob.escape(path.name))

    def forget(self, path: str) -> None:
        """Remove all that stands for one input file."""
        with storing(self.out):
            self.output(path).unlink(missing_ok=True)
            self.quarantine(path).unlink(missing_ok=True)
            remove_tree(self.parts(path))


@contextmanager
def opened(out: Path, force: bool) -> Iterator[Folder]:
    """The output folder, made where it was not, for this process alone; where nothing came of it, it is gone again.

    Raises UsageError if it holds something else and `force` is not given, StorageError if it cannot be written or
    another process is at work in it."""
    folder = Folder(out)
    with storing(out):
        folder.refuse_foreign(force)
        made = not is_remote(out) and not out.exists()
    with nullcontext() if is_remote(out) else _locked(folder):
        try:
            yield folder
        finally:
            if not folder.ledger.exists():
                remove_tree(folder.work)
                if made:
                    with suppress(OSError):  # it holds something
                        out.rmdir()


@contextmanager
def _locked(folder: Folder) -> Iterator[None]:
    with storing(folder.out):
        folder.work.mkdir(parents=True, exist_ok=True)
        lock = (folder.work / "lock").open("wb")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                "another process labels into this folder", str(folder.out), "wait for it, or name another output folder"
            ) from error
        yield


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn what the system says into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot read or write: {error.strerror or error}",
            str(error.filename or path),
            "check that it exists, may be written and has room",
        ) from error
