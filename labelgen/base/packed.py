"""Files that may be packed: the end of a name, `.gz` or `.zst`, says how."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

_AT_ONCE = 1 << 13

PACKED = (".gz", ".zst")


class DamagedError(Exception):
    """What is packed cannot be unpacked; the message begins with the reason, `bad_gzip` or `bad_zstd`."""


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes in a file, unpacked. Reading raises DamagedError where they end early or are not what they should be, behind the
    same byte however they are read, and OSError where the file cannot be read."""
    with path.open("rb") as file:
        if path.suffix == ".gz":
            with gzip.open(file, "rb") as held:
                yield cast(IO[bytes], io.BufferedReader(_Unpacking(partial(_read_gzip, held)), _AT_ONCE))
        elif path.suffix == ".zst":
            import pyarrow as pa

            held = pa.CompressedInputStream(file, "zstd")
            yield cast(IO[bytes], io.BufferedReader(_Unpacking(partial(_read_zstd, held)), _AT_ONCE))
        else:
            yield file


class _Unpacking(io.RawIOBase):
    """Reads by pieces that depend on the file alone: what is lost before a damage then does not depend on who reads."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, to: Any) -> int:
        if not self._left:
            self._left = memoryview(self._read())
        size = min(len(self._left), len(to))
        to[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _read_gzip(file: gzip.GzipFile) -> bytes:
    try:
        return file.read1(_AT_ONCE)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedError(f"bad_gzip: {error}") from error


def _read_zstd(file: IO[bytes]) -> bytes:
    try:
        return file.read(_AT_ONCE)
    except OSError as error:
        # Arrow gives a number where the disk failed, none where the data are damaged.
        if error.errno is not None:
            raise
        raise DamagedError(f"bad_zstd: {error}") from error


@contextmanager
def packed(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """What is written goes packed into `file`, as the end of `name` says; equal bytes give equal bytes."""
    if name.endswith(".gz"):
        # No name and no time in the header.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as to:
            yield cast(IO[bytes], to)
    elif name.endswith(".zst"):
        import pyarrow as pa

        # Arrow closes what it writes to, and the file is still to be synced.
        with pa.CompressedOutputStream(pa.PythonFile(_Kept(file), "w"), "zstd") as to:
            yield cast(IO[bytes], to)
    else:
        yield file


class _Kept(io.RawIOBase):
    """Writes to a file and leaves it open."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self._file.write(data)  # type: ignore[call-overload, no-any-return]
