"""docs/reference/record.md shows records that are records, and names every reason for which one is rejected."""

import json
import re
from pathlib import Path

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.record import decode

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "reference" / "record.md").read_text(encoding="utf-8")


def test_documented_records_decode():
    shown = [block for block in re.findall(r"```json\n(.*?)```", TEXT, re.S) if '"id"' in block]
    assert len(shown) == 2
    for text in shown:
        found = decode(text, "docs/reference/record.md")
        assert isinstance(found, Dialogue)
        assert found.extra is None, "a field that is shown is a field that is known"
        assert all(turn.extra is None for turn in found.turns)


def test_documented_full_record_has_every_field():
    full = json.loads(re.findall(r"```json\n(.*?)```", TEXT, re.S)[1])
    assert set(full) == set(Dialogue.__struct_fields__) - {"extra"}
    assert set(full["turns"][0]) == set(Turn.__struct_fields__) - {"extra"}


def test_documented_reasons_are_complete():
    code = "\n".join(
        (ROOT / "labelgen" / "data" / name).read_text(encoding="utf-8") for name in ("record.py", "log.py")
    )
    reasons = set(re.findall(r'"([a-z]+_[a-z_]+): ', code))
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", TEXT[TEXT.index("## What is rejected") :]))
    assert len(reasons) > 10
    assert reasons <= named
