"""Prepared training dialogues as a memory-mapped Arrow dataset: written once, read by index, kept in a cache if one is named."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from labelgen import __version__
from labelgen.base.errors import IntegrityError, StorageError
from labelgen.base.files import atomic_write, is_remote, read_json, to_path, write_text
from labelgen.data.label_sets import Sources
from labelgen.data.log import by_folder

if TYPE_CHECKING:
    from datasets import Dataset

SCHEMA = pa.schema(
    [
        ("record", pa.binary()),
        ("turns", pa.int64()),
        ("words", pa.int64()),
        ("log", pa.int64()),
        ("root", pa.int64()),
        ("fingerprint", pa.uint64()),
    ]
)
"""A dialogue as JSON, its size, the indices of its log and of the folder of its audio, and the fingerprint of its texts."""

_BATCH = 4 << 20


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of the prepared logs besides their rows.

    read: number of dialogues before any was dropped. digest: of all records. labels: label sets that the logs publish or targets show. roots: folders
    of relative audio paths. rejected: number of records that were."""

    read: int
    digest: str
    labels: Sources
    roots: list[str]
    rejected: int


class Writer:
    """Writes rows to an Arrow stream. Memory is that of one batch, about 4 MiB. errors: context for what the disk raises."""

    def __init__(self, file: IO[bytes], errors: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._errors = errors
        with errors():
            self._stream = pa.ipc.new_stream(file, SCHEMA)
        self._rows: list[tuple[Any, ...]] = []
        self._size = 0
        self._digest = hashlib.sha256()

    def add(self, record: bytes, turns: int, words: int, log: int, root: int, fingerprint: int) -> None:
        self._digest.update(record)
        self._rows.append((record, turns, words, log, root, fingerprint))
        self._size += len(record)
        if self._size >= _BATCH:
            self._flush()

    def close(self) -> str:
        """The digest of all records."""
        self._flush()
        with self._errors():
            self._stream.close()
        return self._digest.hexdigest()

    def _flush(self) -> None:
        if self._rows:
            columns = [pa.array(c, f.type) for c, f in zip(zip(*self._rows, strict=True), SCHEMA, strict=True)]
            with self._errors():
                self._stream.write_batch(pa.record_batch(columns, schema=SCHEMA))
            self._rows, self._size = [], 0


def prepare_once(cache: Path | None, key: str | None, write: Callable[[Writer], Summary]) -> "tuple[Dataset, Summary]":
    """The dataset that `write` fills, and its summary.

    cache: folder where the dataset is kept as `KEY.arrow` with `KEY.json`; a dataset of that key is read instead of written again,
    if its records have their digest. Without a cache or key the file has no name, so nothing is left behind however the process
    ends. Logs with rejected records are not kept, because every run writes its quarantine."""
    if cache is None or key is None:
        # The mapping keeps the bytes after the file is closed.
        with _temporary_file() as file:
            summary = write(Writer(file, _temporary_errors))
            return _mapped(f"/proc/self/fd/{file.fileno()}"), summary
    table, about = cache / f"{key}.arrow", cache / f"{key}.json"
    if (kept := _kept(table, about)) is not None:
        return kept
    with atomic_write(table) as file:
        summary = write(Writer(file))
    dataset = _mapped(str(table))
    if summary.rejected:
        table.unlink()
    else:
        write_text(about, msgspec.json.encode(summary).decode())
    return dataset, summary


def _mapped(path: str) -> "Dataset":
    from datasets import Dataset

    return Dataset.from_file(path)


def _kept(table: Path, about: Path) -> "tuple[Dataset, Summary] | None":
    """The dataset of the cache, or None where there is none or its bytes changed."""
    if not table.is_file() or not about.is_file():
        return None
    try:
        summary, dataset = read_json(about, Summary), _mapped(str(table))
        digest = hashlib.sha256()
        for batch in dataset.data.column("record").chunks:
            for record in batch:
                digest.update(record.as_buffer())
    except (IntegrityError, pa.ArrowException, OSError, ValueError):
        return None
    return (dataset, summary) if digest.hexdigest() == summary.digest else None


def cache_key(logs: Sequence[str], format: str, recipe: object) -> str | None:
    """Fingerprint of logs and of what is done with them: of paths, sizes, times and permissions of the files, and the recipe.

    None where that does not tell whether a log changed: a log of another form, in a store or on standard input."""
    paths = [to_path(path) for path in logs]
    if format != "labelgen" or any(is_remote(path) or str(path) == "-" for path in paths):
        return None
    from datasets.fingerprint import Hasher

    files = []
    for path in paths:
        for root, parts in by_folder(path, format):
            for file in (*parts, root / "labels.json"):
                stat = file.stat() if file.is_file() else None
                files.append((str(file.absolute()), stat and (stat.st_size, stat.st_mtime_ns, stat.st_mode)))
    return str(Hasher.hash((__version__, files, recipe)))


def _temporary_file() -> IO[bytes]:
    with _temporary_errors():
        return tempfile.TemporaryFile(buffering=0)


@contextmanager
def _temporary_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the training dialogues cannot be written to a temporary file: {error.strerror}",
            tempfile.gettempdir(),
            "free some room there, or name another disk by TMPDIR",
        ) from error
