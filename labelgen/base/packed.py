"""Files that may be packed: the end of a name, `.gz` or `.zst`, says how."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

PACKED = (".gz", ".zst")


class DamagedError(Exception):
    """What is packed cannot be unpacked; the message begins with the reason, `bad_gzip` or `bad_zstd`."""


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes in a file, unpacked. Raises DamagedError where they end early or are not what they should be, also out
    of the block that reads them, and OSError where the file cannot be read."""
    with path.open("rb") as file:
        if path.suffix == ".gz":
            try:
                with gzip.open(file, "rb") as held:
                    yield cast(IO[bytes], held)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise DamagedError(f"bad_gzip: {error}") from error
        elif path.suffix == ".zst":
            import pyarrow as pa

            try:
                yield cast(IO[bytes], io.BufferedReader(pa.CompressedInputStream(file, "zstd"), 1 << 16))
            except OSError as error:
                # Arrow gives a number where the disk failed, none where the data are damaged.
                if error.errno is not None:
                    raise
                raise DamagedError(f"bad_zstd: {error}") from error
        else:
            yield file


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
