"""Whose records a deletion takes: found in logs, quarantines and files for review, and left out of their new content.

Records name their user. Quarantined records name it in their raw text, if at all. Files for review name dialogues only, so they are examined
once the ids of the user's dialogues are known. Lines that stay keep their bytes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from labelgen.base.errors import StorageError
from labelgen.base.files import compressed
from labelgen.data.dialogue import Dialogue
from labelgen.data.reader import open_input, strip_byte_order_mark
from labelgen.data.record import Rejected, convert, decode, drop_null
from labelgen.data.split import fingerprint

TASKS, COLUMNS = ".json", ".conll"
"""Endings of files for review: tasks or answers of Label Studio or Argilla, and CoNLL columns."""

_NAMED = re.compile(r'"(user|id)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')
"""A user or an id in JSON that cannot be decoded as a whole."""
_CONLL_ID = re.compile(rb'^# id = (".*")\s*$')


@dataclass(slots=True)
class Subject:
    """Whose records are deleted: a user, or dialogues by id. of_user: ids of the user's dialogues, as far as they were read.
    fingerprints: of the deleted dialogues."""

    user: str | None
    dialogues: frozenset[str]
    of_user: set[str] = field(default_factory=set)
    fingerprints: set[int] = field(default_factory=set)

    def holds(self, user: str | None, identity: str | None) -> bool:
        """Whether a record of this user and id is deleted. Remembers the id of the user's dialogue."""
        if self.user is not None and user == self.user:
            if identity is not None:
                self.of_user.add(identity)
            return True
        return identity is not None and identity in self.dialogues

    def is_about(self, identity: str | None) -> bool:
        """Whether something without a user, about the dialogue of this id, is deleted."""
        return identity is not None and (identity in self.dialogues or identity in self.of_user)


@dataclass(frozen=True, slots=True)
class Scan:
    """What is deleted from a file. indices: of the records, from 0; blank lines do not count. by_id: whether it has lines that name a
    dialogue and no user, which are found once all dialogues of the user are known. records: of the whole file."""

    indices: tuple[int, ...]
    by_id: bool = False
    records: int = 0


class _Head(msgspec.Struct):
    id: Any = None
    user: Any = None
    turns: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    reason: Any = None
    raw: Any = None
    dialogue: Any = None


def scan(path: Path, subject: Subject) -> Scan:
    """Find the records to delete. Raises StorageError for a damaged file: what it lost cannot be examined."""
    indices: list[int] = []
    by_id, records = False, 0
    for index, (text, plain) in enumerate(_records(path)):
        deleted, review = _is_deleted(text, plain, subject)
        by_id, records = by_id | review, index + 1
        if deleted:
            indices.append(index)
            if (dialogue := _dialogue(text, plain)) is not None:
                subject.fingerprints.add(fingerprint(dialogue))
    return Scan(tuple(indices), by_id, records)


def _records(path: Path) -> Iterator[tuple[bytes, Mapping[str, Any] | None]]:
    """Lines that are not blank, or rows."""
    if path.suffix == ".parquet":
        yield from ((b"", row) for row in _rows(path))
        return
    with open_input(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield strip_byte_order_mark(line, number), None


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read {path.name}: {error}", str(path), "check that the file is whole") from error


def _is_deleted(text: bytes, plain: Mapping[str, Any] | None, subject: Subject) -> tuple[bool, bool]:
    """Whether a line or row is deleted, and whether it names a dialogue and no user."""
    if plain is not None:
        identity = as_id(plain.get("id", plain.get("dialogue")))
        if "turns" not in plain:
            return subject.is_about(identity), True
        return subject.holds(as_id(plain.get("user")), identity), False
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        deleted = [subject.holds(*pair) for pair in owners_in(text)]
        return any(deleted), False
    user, identity = as_id(head.user), as_id(head.id)
    if isinstance(head.raw, str) and isinstance(head.reason, str):
        item = Rejected(file="", reason=head.reason, dialogue=as_id(head.dialogue), raw=head.raw)
        pairs = list(owners(item))
        deleted = [subject.holds(*pair) for pair in pairs]
        return any(deleted) or _about(pairs, subject), True
    if head.turns is msgspec.UNSET and user is None:
        return subject.is_about(identity), True
    return subject.holds(user, identity), False


def _about(pairs: Sequence[tuple[str | None, str | None]], subject: Subject) -> bool:
    """Whether something without any user is about a dialogue of the user."""
    return all(user is None for user, _ in pairs) and any(subject.is_about(identity) for _, identity in pairs)


def _dialogue(text: bytes, plain: Mapping[str, Any] | None) -> Dialogue | None:
    item = decode(text, "") if plain is None else convert(drop_null(plain), "")
    return item if isinstance(item, Dialogue) else None


def write_rest(path: Path, indices: set[int], to: IO[bytes]) -> None:
    """Write a file without some of its records; the other lines keep their bytes."""
    if path.suffix == ".parquet":
        _write_rows(path, indices, to)
        return
    with open_input(path) as file, compressed(to, path.name) as packed:
        index = -1
        for line in file:
            index += bool(line.strip())
            if not line.strip() or index not in indices:
                packed.write(line)


def _write_rows(path: Path, indices: set[int], to: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = 0
    with (
        pq.ParquetFile(path, page_checksum_verification=True) as file,
        pq.ParquetWriter(to, file.schema_arrow, compression="zstd", write_page_checksum=True) as writer,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            kept = [first + k not in indices for k in range(table.num_rows)]
            first += table.num_rows
            if any(kept):
                writer.write_table(table.filter(pa.array(kept)))


# Files for review, which name dialogues and no users.


def rest_of_tasks(path: Path, subject: Subject) -> tuple[bytes, int] | None:
    """A file of Label Studio or Argilla without the tasks about deleted dialogues, and their number; None for another JSON file."""
    try:
        tasks = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    kept = [task for task in tasks if not subject.is_about(_id_of_task(task))]
    return msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n", len(tasks) - len(kept)


def _id_of_task(task: Mapping[str, Any]) -> str | None:
    data, metadata = task.get("data"), task.get("metadata", task)
    if isinstance(data, dict):
        return as_id(data.get("id"))
    # Argilla's records, and their flat form.
    return as_id(metadata.get("dialogue_id")) if isinstance(metadata, dict) else None


def rest_of_columns(path: Path, subject: Subject) -> tuple[bytes, int]:
    """CoNLL columns without deleted dialogues, and the number of these; the sentences of a turn begin with the dialogue's id."""
    kept: list[bytes] = []
    deleted: set[str] = set()
    leave_out = False
    for line in path.read_bytes().splitlines(keepends=True):
        if match := _CONLL_ID.match(line):
            identity = _decoded(match[1].decode("utf-8", "replace"))
            leave_out = subject.is_about(identity)
            if leave_out:
                deleted.add(identity)
        if not leave_out:
            kept.append(line)
    return b"".join(kept), len(deleted)


def owners(item: Rejected) -> Iterator[tuple[str | None, str | None]]:
    """Pairs of user and dialogue id that a rejected record names; it may be no valid JSON."""
    yield None, item.dialogue
    if item.raw is not None:
        yield from owners_in(item.raw.encode("utf-8", "surrogatepass"))


def owners_in(text: bytes) -> Iterator[tuple[str | None, str | None]]:
    """Pairs of user and dialogue id that a record names which cannot be read as one."""
    try:
        plain = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        for name, value in _NAMED.findall(text.decode("utf-8", "replace")):
            identity = _decoded(value)
            yield (identity, None) if name == "user" else (None, identity)
        return
    if isinstance(plain, dict):
        yield as_id(plain.get("user")), as_id(plain.get("id"))


def as_id(value: Any) -> str | None:
    """An id as text: a number names the user too."""
    return None if value is None or isinstance(value, dict | list) else str(value)


def _decoded(value: str) -> str:
    try:
        return str(msgspec.json.decode(value.encode()))
    except msgspec.MsgspecError:
        return value.strip('"')
