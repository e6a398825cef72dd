"""Output folder of labels: paths, lock, cleanup after a kill, and joining parts into files.

OUT/a.jsonl                      labeled records, at the input's relative path; `.zst` becomes `.gz`
OUT/a.jsonl.quarantine.jsonl     its rejected records with reasons, if any
OUT/manifest.json                written last
OUT/.labeling/                   during a run: ledger/, lock, and parts/a.jsonl/000000.jsonl

A store (base/files.py) has no lock: the user must not start two runs with one output there. Parts are plain JSON Lines in
every format, and joining is a pure function of them. So neither shard size nor the order of work changes the output."""

import fcntl
import glob
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.files import atomic_write, compressed, is_remote, remove_tree, sweep
from labelgen.data.log import RECORD_SUFFIXES, shard_files
from labelgen.data.record import arrow_schema

MANIFEST = "manifest.json"
_WORK = ".labeling"
_ROW_GROUP = 1024
"""Rows in a row group of Parquet."""


def input_files(source: Path) -> dict[str, Path]:
    """Record files at or below `source` by relative path, in order.

    Raises UsageError if there are none, or if the output of two would have one path."""
    files = shard_files(source)
    root = source if source.is_dir() else source.parent
    for file in files:
        if not file.name.endswith(RECORD_SUFFIXES):
            known = ", ".join(RECORD_SUFFIXES)
            raise UsageError(f"unknown file format: {file.name}", str(file), f"use a name that ends in {known}")
    inputs = {file.relative_to(root).as_posix(): file for file in files}
    for path, file in inputs.items():
        if path != output_path(path) and output_path(path) in inputs:
            raise UsageError(
                f"the output of {path} would be {output_path(path)}, which is in the input too", str(file), "rename one"
            )
    return inputs


def output_path(path: str) -> str:
    """Relative path of the output of an input file; zstd is read and not written."""
    return path.removesuffix(".zst") + ".gz" if path.endswith(".zst") else path


class LabelFolder:
    """Paths of one output folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.manifest = out / MANIFEST
        self.work = out / _WORK
        self.ledger = self.work / "ledger"

    def output(self, path: str) -> Path:
        return self.out / output_path(path)

    def quarantine(self, path: str) -> Path:
        return self.out / f"{path}.quarantine.jsonl"

    def parts(self, path: str) -> Path:
        return self.work / "parts" / path

    def part(self, path: str, index: int) -> Path:
        return self.parts(path) / f"{index:06d}.jsonl"

    def part_quarantine(self, path: str, index: int) -> Path:
        return self.parts(path) / f"{index:06d}.quarantine.jsonl"

    def is_unfinished(self) -> bool:
        """Whether a run committed work here and did not finish. Beside a manifest, a ledger is what a kill left of a finished run."""
        if self.manifest.exists() or not self.ledger.exists():
            return False
        return any(item.name.isdigit() for item in self.ledger.iterdir())

    def check(self, force: bool) -> None:
        """Raises UsageError if the output is a file, or, without force, contains files of no labeling run."""
        if not self.out.exists():
            return
        if not self.out.is_dir():
            raise UsageError(f"{self.out} is a file, a folder is needed", str(self.out), "name another output folder")
        if force or self.manifest.exists() or self.is_unfinished():
            return
        # A run that was killed before its first commit leaves at most its work folder.
        if any(child.name != _WORK for child in self.out.iterdir()):
            hint = "name another output folder, or give --force"
            raise UsageError(f"{self.out} is not empty and holds no labeled log", str(self.out), hint)

    def sweep(self, path: Path) -> None:
        """Remove temporary files that a killed run left for `path`; a store has none."""
        if not is_remote(path):
            sweep(path.parent, glob.escape(path.name))

    def remove(self, path: str) -> None:
        """Remove all work on one input file."""
        with storage_errors(self.out):
            self.output(path).unlink(missing_ok=True)
            self.quarantine(path).unlink(missing_ok=True)
            remove_tree(self.parts(path))


@contextmanager
def open_folder(out: Path, force: bool) -> Iterator[LabelFolder]:
    """Lock the output folder for this process. Creates it if needed, and removes it again if the run wrote nothing.

    Raises UsageError if it contains other files and `force` is not given, StorageError if it cannot be written or another process works in it."""
    folder = LabelFolder(out)
    with storage_errors(out):
        folder.check(force)
        is_new = not is_remote(out) and not out.exists()
    with nullcontext() if is_remote(out) else lock_folder(folder):
        try:
            yield folder
        finally:
            if not folder.is_unfinished():
                remove_tree(folder.work)
                if is_new:
                    with suppress(OSError):  # not empty
                        out.rmdir()


@contextmanager
def lock_folder(folder: LabelFolder) -> Iterator[None]:
    """Lock a local folder for this process. Raises StorageError if another process works in it."""
    with storage_errors(folder.out):
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
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot read or write: {error.strerror or error}",
            str(error.filename or path),
            "check that it exists, is writable and has room",
        ) from error


def join(parts: Sequence[Path], path: Path) -> None:
    """Write the lines of all parts in order to `path`, atomically, in the format of its name. Raises StorageError if it cannot be
    written."""
    with atomic_write(path) as file:
        if path.suffix == ".parquet":
            _write_rows(parts, file)
            return
        with compressed(file, path.name) as to:
            for part in parts:
                with part.open("rb") as lines:
                    shutil.copyfileobj(lines, to)


def _write_rows(parts: Sequence[Path], to: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = _lines(parts)
    with pq.ParquetWriter(to, arrow_schema(), compression="zstd", write_page_checksum=True) as writer:
        while rows := [msgspec.json.decode(line) for line in islice(lines, _ROW_GROUP)]:
            writer.write_table(pa.Table.from_pylist(rows, schema=arrow_schema()))


def _lines(parts: Sequence[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            yield from file
