"""The ledger of an unfinished run: one line for each commit, appended and synced after the files it speaks of.

A shard counts as done when its line is whole; a line that a kill cut short says nothing. In a store, where nothing can be
appended to, the ledger is a folder of numbered objects, one for each commit, in whose order the lines stand."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from labelgen.base.errors import IntegrityError, StorageError
from labelgen.base.files import atomic_write, is_remote
from labelgen.labeling.manifest import FileEntry, Settings, ShardEntry


@dataclass(slots=True)
class State:
    """What is done: finished files by path, and the shards of unfinished files by path and index."""

    settings: Settings
    files: dict[str, FileEntry] = field(default_factory=dict)
    shards: dict[str, dict[int, ShardEntry]] = field(default_factory=dict)

    def add(self, entry: ShardEntry | FileEntry) -> None:
        if isinstance(entry, FileEntry):
            self.files[entry.path] = entry
            self.shards.pop(entry.path, None)
        else:
            self.shards.setdefault(entry.path, {})[entry.index] = entry

    def entries(self) -> Iterable[ShardEntry | FileEntry]:
        yield from self.files.values()
        for shards in self.shards.values():
            yield from shards.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """Exactly one of the three."""

    settings: Settings | None = None
    shard: ShardEntry | None = None
    file: FileEntry | None = None


class Ledger:
    """The ledger, open for appending. It begins with what `state` says is done."""

    def __init__(self, path: Path, state: State) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        begin = b"".join([_encode(state.settings), *(_encode(entry) for entry in state.entries())])
        if is_remote(path):
            # What begins with settings stands alone, whatever stood before it.
            older = _objects(path)
            self._number = int(older[-1].name) + 1 if older else 0
            self._put(begin)
            for stale in older:
                stale.unlink()
        else:
            with atomic_write(path) as file:
                file.write(begin)
            self._file = path.open("ab", buffering=0)

    def append(self, entry: ShardEntry | FileEntry) -> None:
        """Commit. Raises StorageError if it does not reach the disk."""
        text = _encode(entry)
        if self._file is None:
            self._put(text)
            return
        try:
            if self._file.write(text) != len(text):
                raise OSError(0, "only a part of the line was written")
            os.fsync(self._file.fileno())
        except OSError as error:
            hint = "free some room and run the same command again"
            raise StorageError(f"cannot write {self.path.name}: {error.strerror}", str(self.path), hint) from error

    def _put(self, text: bytes) -> None:
        with atomic_write(self.path / f"{self._number:09d}") as file:
            file.write(text)
        self._number += 1

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def read_ledger(path: Path) -> State:
    """Raises IntegrityError where a whole line is not one of ours."""
    try:
        # The last piece is empty, or a line that a kill cut short.
        held = b"".join(o.read_bytes() for o in _objects(path)) if is_remote(path) else path.read_bytes()
        *lines, _ = held.split(b"\n")
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror}", str(path), "check the path") from error
    state: State | None = None
    for number, text in enumerate(lines, 1):
        try:
            line = msgspec.json.decode(text, type=_Line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise _damaged(path, number, str(error)) from error
        if line.settings is not None:
            state = State(line.settings)
        elif state is None:
            raise _damaged(path, number, "it begins without settings")
        else:
            for entry in (line.shard, line.file):
                if entry is not None:
                    state.add(entry)
    if state is None:
        raise _damaged(path, 1, "it is empty")
    return state


def _objects(path: Path) -> list[Path]:
    return sorted(path.iterdir(), key=lambda held: held.name) if path.exists() else []


def _damaged(path: Path, line: int, why: str) -> IntegrityError:
    return IntegrityError(
        f"the ledger of the unfinished run is damaged: {why}", f"{path}, line {line}", "label again with --force"
    )


def _encode(entry: Settings | ShardEntry | FileEntry) -> bytes:
    name = "settings" if isinstance(entry, Settings) else "shard" if isinstance(entry, ShardEntry) else "file"
    return msgspec.json.encode({name: entry}) + b"\n"
