"""Files that are either whole or not there, and digests of what is in them."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.places import in_store


def _read_umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


# The umask can only be read by setting it, which is no thing to do while other threads write files.
_umask = _read_umask()
_narrows = False

_GROUP, _OTHERS = 0o070, 0o007


@contextmanager
def privacy() -> Iterator[None]:
    """Within the block keep_private narrows what the process writes, and the processes that it starts; at its end all is as before."""
    global _umask, _narrows
    before = _umask, _narrows
    _narrows = True
    try:
        yield
    finally:
        os.umask(before[0])
        _umask, _narrows = before


def keep_private(paths: Iterable[Path]) -> None:
    """From here to the end of the privacy block, write nothing that more may read than may read these files; a folder stands for all
    files below it. Outside of such a block, and of a store, nothing changes."""
    global _umask
    if not _narrows:
        return
    hidden = 0
    for path in paths:
        for file in () if in_store(path) else path.rglob("*") if path.is_dir() else (path,):
            # A file that cannot be looked at is told of by those who read it.
            with suppress(OSError):
                if not file.is_dir():
                    mode = file.stat().st_mode
                    hidden |= (0 if mode & 0o040 else _GROUP) | (0 if mode & 0o004 else _OTHERS)
    if hidden & ~_umask:
        _umask |= hidden
        os.umask(_umask)


def share(path: Path) -> None:
    """Give a file that another library wrote the mode of those written here."""
    path.chmod(0o666 & ~_umask)


@contextmanager
def atomic_write(path: Path, make_folder: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on leaving, fsync it and rename it to `path`.

    A reader sees the old content or the new, never a part. Where the block raises, `path` is as it was. make_folder:
    whether a folder that is not there is made. In a store the content is put as one object, once it is whole. Raises
    StorageError if the folder cannot be written."""
    if in_store(path):
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
        _sync_folder(path.parent)
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
    # Closing a file of a store commits what is in it, also when the block raised; so the bytes wait outside of it.
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


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk, or a power cut could undo a commit that was reported.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what killed writers of files of that name (a pattern) left in the folder under temporary names."""
    for stale in folder.glob(f".{name}.*.part"):
        stale.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def digest_bytes(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def short_digest(text: str) -> int:
    """64 bits that stand for a text where a set of millions is kept in memory; never for what must not be forged."""
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


def existing_file(path: Path) -> Path:
    """Give `path` back if it is a file. Raises UsageError if it is not: it was named wrongly."""
    if not path.is_file():
        what = "is a folder, a file is needed" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {what}", str(path), "name a file that is there")
    return path


def fresh_folder(path: Path, force: bool) -> Path:
    """Make `path` an existing folder that may be written to.

    Raises UsageError if it already holds something and `force` is not given: nothing of another run is overwritten
    unasked. With `force` the files stay and are replaced one by one."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, a folder is needed", str(path), "name another output folder")
    if path.is_dir() and any(path.iterdir()) and not force:
        raise UsageError(f"{path} is not empty", str(path), "name another output folder, or give --force")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _at_work(folder: Path) -> Iterator[None]:
    """Within, a temporary folder is known to be in use: the lock goes with the process, however that ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sweep_folders(path: Path) -> None:
    """Remove temporary folders within `path` that nobody is at work in."""
    for stale in path.glob(".*.part"):
        with suppress(OSError):  # somebody is at work in it, or just left
            handle = os.open(stale, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(stale)
            finally:
                os.close(handle)


@contextmanager
def whole_folder(path: Path, force: bool) -> Iterator[Path]:
    """A temporary folder within `path`; on leaving, its files are moved into `path`, in the place of older ones.

    Where the block raises, `path` is as it was, and not there where it was not: what failed can be given again; what a kill left of it
    is removed by the next. Raises UsageError as fresh_folder does."""
    made = not path.exists()
    _sweep_folders(path)
    fresh_folder(path, force)
    try:
        # Within and not beside: what is beside may be another disk, or closed to us.
        with tempfile.TemporaryDirectory(dir=path, prefix=".", suffix=".part") as part, _at_work(Path(part)):
            yield Path(part)
            for file in sorted(Path(part).iterdir()):
                os.replace(file, path / file.name)
    except BaseException:
        if made:
            with suppress(OSError):
                path.rmdir()
        raise


def fresh_file(path: Path, force: bool) -> Path:
    """Give `path` back if it may be written. Raises UsageError if it exists and `force` is not given."""
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", str(path), "name another output, or give --force")
    return path
