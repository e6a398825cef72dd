"""scripts/held_out.py: of a test log, what nothing was learned from."""

import json
from pathlib import Path

import held_out
import pytest

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.log import Log, write_log

KNOWN = [Dialogue(id=f"uss/MWOZ/{k}", user=f"u{k}", turns=(Turn(request=f"Known {k}", response=""),)) for k in range(3)]
NEW = [Dialogue(id=f"uss/MWOZ/{k}", user=f"u{k}", turns=(Turn(request=f"new {k}", response=""),)) for k in range(3, 6)]
# Of a test part by itself, positions begin anew.
PART = [Dialogue(id="uss/MWOZ/0", turns=(Turn(request="new 0", response=""),))]


@pytest.fixture
def kept(tmp_path: Path):
    """The ids that are kept of dialogues, by the script with these words; those of `KNOWN` were learned from."""
    write_log(tmp_path / "train.jsonl", KNOWN)
    (tmp_path / "splits.json").write_text(json.dumps({"dialogues_published": 6, "test_held_back": [4, 5]}))

    def kept(dialogues: list[Dialogue], *words: str, code: int = 0) -> list[str]:
        write_log(tmp_path / "log.jsonl", dialogues, force=True)
        own = [str(tmp_path / name) for name in ("log.jsonl", "out.jsonl")]
        assert held_out.main([*own, "--train", str(tmp_path / "train.jsonl"), *words]) == code
        return [] if code else [d.id for d in Log([tmp_path / "out.jsonl"])]

    return kept


def test_dialogues_that_were_learned_from_are_left_out_whatever_their_ids(kept, capsys: pytest.CaptureFixture[str]):
    assert kept(NEW) == [d.id for d in NEW]
    assert kept(PART) == ["uss/MWOZ/0"]
    assert capsys.readouterr().err == ""
    assert kept(KNOWN + NEW) == [d.id for d in NEW]
    assert "3 dialogues are known from training and are left out; 3 are judged" in capsys.readouterr().err


def test_users_who_were_learned_from_are_left_out_where_this_is_asked(kept):
    again = Dialogue(id="other", user="u0", turns=(Turn(request="other", response=""),))
    assert kept([again, *PART]) == ["other", "uss/MWOZ/0"]
    assert kept([again, *PART], "--users") == ["uss/MWOZ/0"]


def test_of_a_whole_corpus_what_was_held_back_is_kept(kept, tmp_path: Path):
    splits = ("--splits", str(tmp_path / "splits.json"))
    assert kept(KNOWN + NEW, *splits) == ["uss/MWOZ/4", "uss/MWOZ/5"]
    assert kept(PART, *splits) == ["uss/MWOZ/0"]
    assert kept([*KNOWN, NEW[0]], *splits) == ["uss/MWOZ/3"]


def test_where_nothing_is_left_nothing_is_judged(kept, capsys: pytest.CaptureFixture[str]):
    kept(KNOWN, code=3)
    assert "all 3 dialogues are known from training" in capsys.readouterr().err
