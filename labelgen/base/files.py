"""Files: local or in a store, written atomically, compressed by the end of their name, with digests.

A path is local, or in a store such as `s3://bucket/logs` or `memory://logs` that fsspec reaches. A store has no folders to
lock, no renaming and no appending: an object is put whole, or does not exist."""

import fcntl
import gzip
import hashlib
import io
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import msgspec

from labelgen.base.errors import MODEL_HINT, IntegrityError, StorageError, UsageError

Form = TypeVar("Form")


def to_path(path: Path | str) -> Path:
    """A Path, or for `PROTOCOL://...` an object with the same methods.

    Raises UsageError where the library for such a store is not installed."""
    if isinstance(path, Path) or "://" not in str(path):
        return Path(path) if isinstance(path, str) else path
    try:
        from upath import UPath

        remote = UPath(path)
        _ = remote.fs
    except (ImportError, ValueError) as error:
        hint = "pip install -e '.[store]' -c constraints.txt, and what fsspec asks for, such as s3fs"
        raise UsageError(f"{path} cannot be reached: {error}", str(path), hint) from error
    return cast(Path, remote)


def is_remote(path: Path) -> bool:
    """Whether `path` was made from `PROTOCOL://...`."""
    return not isinstance(path, Path)


def remove_tree(path: Path) -> None:
    """Remove a folder with all its files; no error where it does not exist."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists():
        path.rmdir(recursive=True)  # type: ignore[call-arg]


def existing_file(path: Path) -> Path:
    """Return `path` if it is a file. Raises UsageError if it is not."""
    if not path.is_file():
        what = "is a folder, a file is needed" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {what}", str(path), "name a file that is there")
    return path


def fresh_file(path: Path, force: bool) -> Path:
    """Return `path` if it may be written. Raises UsageError if it exists, unless `force`."""
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", str(path), "name another output, or give --force")
    return path


def fresh_folder(path: Path, force: bool) -> Path:
    """Make `path` an existing folder that may be written to.

    Raises UsageError if it is not empty, unless `force`: no other run is overwritten by accident. With `force` the files
    stay and are replaced one by one."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, a folder is needed", str(path), "name another output folder")
    if path.is_dir() and any(path.iterdir()) and not force:
        raise UsageError(f"{path} is not empty", str(path), "name another output folder, or give --force")
    path.mkdir(parents=True, exist_ok=True)
    return path


def read_json(path: Path, form: type[Form], hint: str = MODEL_HINT) -> Form:
    """Read a JSON file of type `form`. Raises IntegrityError where it has another form."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise IntegrityError(f"{path.name} cannot be read: {error}", str(path), hint) from error


def digest_bytes(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def short_digest(text: str) -> int:
    """A 64-bit hash of a text, for sets of millions in memory; not for anything that must not be forged."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises StorageError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(
            f"cannot read {path.name}: {error.strerror or 'there is no such file'}", str(path), "check the path"
        ) from error


# Permissions.


def _read_umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


# The umask can only be read by setting it, which is unsafe while other threads write files.
_umask = _read_umask()
_narrows = False

_GROUP, _OTHERS = 0o070, 0o007


@contextmanager
def privacy() -> Iterator[None]:
    """Let keep_private narrow the permissions of this process and its children within the block; restore them at its end."""
    global _umask, _narrows
    before = _umask, _narrows
    _narrows = True
    try:
        yield
    finally:
        os.umask(before[0])
        _umask, _narrows = before


def keep_private(paths: Iterable[Path]) -> None:
    """Write no file that more users may read than may read these files, until the privacy block ends.

    A folder stands for all files below it. No effect outside of a privacy block, or for a store."""
    global _umask
    if not _narrows:
        return
    hidden = 0
    for path in paths:
        for file in () if is_remote(path) else path.rglob("*") if path.is_dir() else (path,):
            # Those who read the file report one that cannot be looked at.
            with suppress(OSError):
                if not file.is_dir():
                    mode = file.stat().st_mode
                    hidden |= (0 if mode & 0o040 else _GROUP) | (0 if mode & 0o004 else _OTHERS)
    if hidden & ~_umask:
        _umask |= hidden
        os.umask(_umask)


def share(path: Path) -> None:
    """Give a file that another library wrote the permissions of files written here."""
    path.chmod(0o666 & ~_umask)


# Atomic writing.


@contextmanager
def atomic_write(path: Path, make_folder: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; at the end, fsync it and rename it to `path`.

    A reader sees the old content or the new, never a part. Where the block raises, `path` does not change. make_folder:
    create a missing folder. A store gets the content as one object, once it is whole. Raises StorageError if the folder
    cannot be written."""
    if is_remote(path):
        with _put(path) as file:
            yield file
        return
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise StorageError(
            f"cannot write {path.name}: {error.strerror}",
            str(path.parent),
            "check that the folder exists, is writable and has room",
        ) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            # mkstemp lets only the owner read; a log or a report is for colleagues too, as the umask says.
            os.fchmod(handle, 0o666 & ~_umask)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        # The rename itself must reach the disk, or a power cut could undo a reported commit.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path.name}: {error.strerror}", str(path), "free some room or choose another folder"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _put(path: Path) -> Iterator[IO[bytes]]:
    # Closing a file of a store commits its content, also when the block raised; so the bytes wait in a local file.
    try:
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as to:
                shutil.copyfileobj(file, to, 1 << 20)
    except OSError as error:
        raise StorageError(
            f"cannot write {path.name}: {error.strerror or error}", str(path), "check access to the store"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value of plain types and Structs as JSON, atomically, with an indent of one."""
    write_text(path, msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n")


def sweep(folder: Path, name: str = "*") -> None:
    """Remove temporary files that killed writers of `name` (a pattern) left in the folder."""
    for stale in folder.glob(f".{name}.*.part"):
        stale.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, force: bool) -> Iterator[Path]:
    """A temporary folder within `path`; at the end, its files move into `path` and replace older ones.

    Where the block raises, `path` does not change, and is removed if it was new. The next call removes what a killed
    process left. Raises UsageError as fresh_folder does."""
    new = not path.exists()
    _sweep_folders(path)
    fresh_folder(path, force)
    try:
        # Within and not beside: the parent may be another disk, or not writable.
        with tempfile.TemporaryDirectory(dir=path, prefix=".", suffix=".part") as part, _locked(Path(part)):
            yield Path(part)
            for file in sorted(Path(part).iterdir()):
                os.replace(file, path / file.name)
    except BaseException:
        if new:
            with suppress(OSError):
                path.rmdir()
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Mark a temporary folder as in use; the lock ends with the process, however that ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sweep_folders(path: Path) -> None:
    """Remove temporary folders within `path` that no process uses."""
    for stale in path.glob(".*.part"):
        with suppress(OSError):  # a process uses it, or just left
            handle = os.open(stale, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(stale)
            finally:
                os.close(handle)


# Compression.

_CHUNK = 1 << 13


class DamagedError(Exception):
    """Compressed data that cannot be decompressed; the message begins with the reason, `bad_gzip` or `bad_zstd`."""


@contextmanager
def decompressed(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed by the end of its name.

    Reading raises DamagedError where the data end early or are corrupt, always behind the same byte, and OSError where the
    file cannot be read."""
    with path.open("rb") as file:
        if path.suffix == ".gz":
            with gzip.open(file, "rb") as stream:
                yield cast(IO[bytes], io.BufferedReader(_Chunks(partial(_read_gzip, stream)), _CHUNK))
        elif path.suffix == ".zst":
            import pyarrow as pa

            stream = pa.CompressedInputStream(file, "zstd")
            yield cast(IO[bytes], io.BufferedReader(_Chunks(partial(_read_zstd, stream)), _CHUNK))
        else:
            yield file


class _Chunks(io.RawIOBase):
    """A stream read in chunks that depend on the file alone, so that every reader loses the same bytes before a damage."""

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
        return file.read1(_CHUNK)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedError(f"bad_gzip: {error}") from error


def _read_zstd(file: IO[bytes]) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as error:
        # Arrow gives an error number where the disk failed, none where the data are damaged.
        if error.errno is not None:
            raise
        raise DamagedError(f"bad_zstd: {error}") from error


@contextmanager
def compressed(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Compress what is written into `file` where `name` ends in `.gz`; equal input gives equal bytes."""
    if name.endswith(".gz"):
        # No name and no time in the header.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as to:
            yield cast(IO[bytes], to)
    else:
        yield file
