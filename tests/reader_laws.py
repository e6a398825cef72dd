"""What holds for every reader, on the samples of a folder."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from labelgen.base.errors import UsageError
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan
from labelgen.data.log import Log
from labelgen.data.reader import READERS, Reader, Remark
from labelgen.data.record import Rejected, decode, encode, to_plain


@dataclass(frozen=True)
class Samples:
    """Samples below `folder`/samples, with what readers make of them below `folder`/golden. cases: name -> (format, sample, options)."""

    folder: Path
    cases: Mapping[str, tuple[str, str, Mapping[str, str]]]

    def read(self, case: str) -> list[Dialogue | Rejected]:
        name, sample, options = self.cases[case]
        reader: Reader = resolve(READERS, name, "format")
        path = self.folder / "samples" / sample
        return [item for item in reader.read(path, options) if not isinstance(item, Remark)]

    def dialogues(self, case: str) -> dict[str, Dialogue]:
        return {d.id: d for d in self.read(case) if isinstance(d, Dialogue)}

    def check_golden(self, case: str) -> None:
        golden = self.folder / "golden" / f"{case}.json"
        items = (to_plain(d) if isinstance(d, Dialogue) else msgspec.to_builtins(d) for d in self.read(case))
        text = json.dumps([bare(item) for item in items], indent=1, ensure_ascii=False) + "\n"
        if os.environ.get("LABELGEN_GOLDEN") == "write":
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(encoding="utf-8"), "make golden rewrites it"

    def check_records(self, case: str) -> None:
        found = self.read(case)
        good = [d for d in found if isinstance(d, Dialogue)]
        assert good == found
        assert len({d.id for d in good}) == len(good) > 0
        for dialogue in good:
            assert decode(encode(dialogue), "log") == dialogue
            for label in (label for annotation in dialogue.annotations for label in annotation.labels):
                if isinstance(label.at, AtSpan):
                    assert 0 <= label.at.start < label.at.end <= len(dialogue.turns[label.at.turn].request)

    def check_refusals(self, case: str, empty: Path) -> None:
        name, _, options = self.cases[case]
        with pytest.raises(UsageError, match="unknown option"):
            Log([empty], name, {"no_such_option": "x"})
        for path in (empty / "missing", empty):
            with pytest.raises(UsageError):
                list(Log([path], name, options))

    def check_damaged(self, case: str, folder: Path) -> None:
        """Each sample, cut and with bytes changed: records that are still whole are read, the others rejected."""
        name, sample, options = self.cases[case]
        source = self.folder / "samples" / sample
        every = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
        for file in (p for p in every if p.name != "schema.json"):
            data = file.read_bytes()
            copy = folder / name / file.relative_to(source if source.is_dir() else source.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            for place in range(0, len(data), max(1, len(data) // 12)):
                for middle in (b"", b"\xff" + data[place + 1 :], b'"' + data[place:]):
                    copy.write_bytes(data[:place] + middle)
                    with suppress(UsageError):
                        for item in resolve(READERS, name, "format").read(folder / name, options):
                            assert isinstance(item, (Dialogue, Rejected, Remark))


def check_rejected(root: Path, path: str, name: str, options: Mapping[str, str], data: bytes) -> tuple[str, str | None]:
    """First word of the reason and field of the one record that a corpus of this file has."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    reader: Reader = resolve(READERS, name, "format")
    (found,) = (item for item in reader.read(root, options) if not isinstance(item, Remark))
    assert isinstance(found, Rejected)
    assert found.file.endswith(file.name)
    msgspec.json.encode(found)
    return found.reason.partition(":")[0], found.field


def bare(plain: object) -> object:
    if isinstance(plain, dict):
        return {key: bare(value) for key, value in plain.items() if value is not None}
    return [bare(value) for value in plain] if isinstance(plain, (list, tuple)) else plain
