"""Model folders with something else in them, for tests of what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labelgen.base.files import digest_file

Change = Callable[[Path], object]


def name_all(folder: Path) -> None:
    """digests.json as if all that is there had been saved."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "digests.json")
    listing = {str(p.relative_to(folder)): digest_file(p) for p in files}
    (folder / "digests.json").write_text(json.dumps(listing), encoding="utf-8")


def text(name: str, content: str | bytes) -> Change:
    def change(folder: Path) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    return change


def put(name: str, key: str, value: Any) -> Change:
    """key: dotted, indices too."""

    def change(folder: Path) -> None:
        held = json.loads((folder / name).read_text(encoding="utf-8"))
        at = held
        *way, last = [int(part) if part.isdigit() else part for part in key.split(".")]
        for part in way:
            at = at[part]
        at[last] = value
        text(name, json.dumps(held))(folder)

    return change
