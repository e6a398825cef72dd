"""Small logs on disk, in every form, and folders compared byte by byte."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

from labelgen.data.dialogue import Dialogue
from labelgen.data.log import write_log
from labelgen.data.record import decode


def record(identity: str, turns: int = 2, **more: object) -> dict[str, object]:
    made = [{"request": f"play song {identity} {k}", "response": "Playing."} for k in range(turns)]
    return {"id": identity, "turns": made, **more}


def lines(records: Iterable[object]) -> bytes:
    """Records as JSON Lines; what is text already stands as it is."""
    return "".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in records).encode()


def write_lines(path: Path, records: Iterable[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = lines(records)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def write_rows(path: Path, records: Iterable[dict[str, object]]) -> None:
    """As Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_log(path, [d for d in (decode(json.dumps(r), path.name) for r in records) if isinstance(d, Dialogue)])


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by its relative path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def mixed_log(folder: Path) -> Path:
    """Three forms, a subfolder, an empty file, and bad records of several kinds."""
    write_lines(
        folder / "a.jsonl",
        [record("a0"), "", "not json", record("a1", 0), record("a1"), record("a2", 3), {"id": "a3"}, record("a4")],
    )
    write_lines(folder / "sub" / "b.jsonl.gz", [record(f"b{k}", k) for k in range(5)])
    write_rows(folder / "sub" / "c.parquet", [record(f"c{k}") for k in range(4)])
    write_lines(folder / "empty.jsonl", [])
    return folder
