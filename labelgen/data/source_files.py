"""The files that a path stands for, and the bytes in them."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.files import DamagedError, decompressed, is_remote
from labelgen.data.quarantine import is_quarantine


def files_of(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """The record files at `path`: itself, or all below a folder, sorted; hidden files and quarantine files are no
    records. Raises UsageError if there are none, and for a folder below that is a link, which might lead back."""
    if path.is_dir():
        below = [
            p for p in sorted(path.rglob("*")) if not any(part.startswith(".") for part in p.relative_to(path).parts)
        ]
        links = [] if is_remote(path) else [p for p in below if p.is_symlink() and p.is_dir()]
        if links:
            raise UsageError(f"{links[0]} is a link to a folder", str(path), "name that folder as a log of its own")
        found = [p for p in below if p.name.endswith(tuple(suffixes)) and not is_quarantine(p.name)]
        if not found:
            raise UsageError(f"no records in {path}", str(path), f"a log is made of {', '.join(suffixes)} files")
        return found
    if not path.exists():
        raise UsageError(f"{path} does not exist", str(path), "name a file or folder of records")
    return [path]


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """Open to read; `.gz` and `.zst` are unpacked. Raises StorageError if the file cannot be read whole."""
    try:
        with decompressed(path) as file:
            yield file
    except (OSError, DamagedError) as error:
        raise StorageError(f"cannot read {path}: {error}", str(path), "check that the file is whole") from error


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not empty, with their numbers from 1."""
    with reading(path) as file:
        yield from numbered(file)


def numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Those that are not empty, with their numbers from 1."""
    for number, text in enumerate(lines, 1):
        line = without_mark(text, number)
        if line.strip():
            yield number, line


def without_mark(line: bytes, number: int) -> bytes:
    """The line of a file without the mark that some programs put before UTF-8."""
    return line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def read_bytes(path: Path) -> bytes:
    """A whole file. Raises StorageError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", str(path), "check the path") from error
