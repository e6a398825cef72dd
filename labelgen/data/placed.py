"""A record whose form is good, with where it stood: who sets it aside for another reason says so as of any other record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.data.parse import shown
from labelgen.data.quarantine import Rejected
from labelgen.data.record import encode


@dataclass(frozen=True, slots=True)
class Placed:
    """file: what it is called in what is rejected. line: or row, from 1. came: the line, or the row, that it was read from.
    Both are None where a reader of another form made it of several."""

    dialogue: Dialogue
    file: str
    line: int | None = None
    came: bytes | Mapping[str, Any] | None = None

    def rejected(self, field: str, reason: str) -> Rejected:
        """The record as one that is set aside."""
        if self.came is None:
            raw = encode(self.dialogue).decode()
        elif isinstance(self.came, bytes):
            raw = shown(self.came.rstrip(b"\r\n"))
        else:
            raw = json.dumps(self.came, default=repr, ensure_ascii=False)
        return Rejected(file=self.file, line=self.line, dialogue=self.dialogue.id, field=field, reason=reason, raw=raw)


def placed(item: Dialogue | Rejected, file: str, line: int, came: bytes | Mapping[str, Any]) -> Placed | Rejected:
    """With its place, where it is good."""
    return item if isinstance(item, Rejected) else Placed(item, file, line, came)
