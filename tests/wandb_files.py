"""Offline runs of Weights & Biases, read back from their files by the library's own messages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def records(path: Path) -> Iterator[Any]:
    """What W&B wrote to its file: a header of 7 bytes, then records of LevelDB's log in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole = (b"" if kind in (1, 2) else whole) + data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield Record.FromString(whole)


class OfflineRun:
    """One session: the folder that `wandb sync` sends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (path,) = folder.glob("run-*.wandb")
        self.records = list(records(path))

    def of(self, kind: str) -> list[Any]:
        """The messages of one kind: run, metric, history, summary or artifact."""
        return [getattr(one, kind) for one in self.records if one.WhichOneof("record_type") == kind]

    @property
    def id(self) -> str:
        (run,) = self.of("run")
        return str(run.run_id)

    @property
    def summary(self) -> dict[str, Any]:
        return {name: value for one in self.of("summary") for name, value in _values(one.update).items()}

    @property
    def artifacts(self) -> dict[str, Any]:
        """Name -> the last version, without those of tables in the history."""
        return {one.name: one for one in self.of("artifact") if one.type != "run_table"}


def sessions(folder: Path) -> list[OfflineRun]:
    """The offline runs in the folder of a training, the oldest first."""
    return [OfflineRun(path) for path in sorted((folder / "wandb").glob("offline-run-*"))]


def all_bytes(folder: Path) -> bytes:
    """Every byte that is written beside a model for Weights & Biases."""
    return b"\0".join(path.read_bytes() for path in sorted((folder / "wandb").rglob("*")) if path.is_file())


def _values(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
