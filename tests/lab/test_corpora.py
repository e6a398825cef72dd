"""The readers on the whole public corpora; the counts are those of the corpora's own files.

LABELGEN_DATA names the folder that holds `sgd`, `star`, `getgoing`, `betold` and `uss` in their published layouts."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtDialogue
from labelgen.data.log import Log
from labelgen.data.stats import log_stats

pytestmark = pytest.mark.corpora


def goals_of(dialogue: Dialogue) -> list[tuple[int, ...]]:
    return [x.at.turns for x in dialogue.annotations[0].labels if x.task == "goals"]  # type: ignore[union-attr]


def json_files(folder: Path) -> Iterator[object]:
    for path in sorted(folder.glob("*.json")):
        yield json.loads(path.read_bytes())


@pytest.mark.parametrize("part", ["dev", "test"])
def test_sgd_full_corpus_has_published_counts(corpora: Path, part: str):
    found = log_stats(Log([corpora / "sgd" / part], "sgd", max_bad_rate=0))
    dialogues = [d for file in json_files(corpora / "sgd" / part) for d in file if "dialogue_id" in d]  # type: ignore[attr-defined]
    assert found.dialogues == len(dialogues)
    assert 2 * found.turns == sum(len(d["turns"]) for d in dialogues), "a turn is a user's line and the system's"
    last: Counter[str] = Counter()
    spans = 0
    for dialogue in dialogues:
        notified = {}
        for line in dialogue["turns"]:
            for frame in line["frames"]:
                spans += len(frame["slots"]) if line["speaker"] == "USER" else 0
                for action in frame["actions"]:
                    if action["act"].startswith("NOTIFY"):
                        notified[frame["service"]] = action["act"].removeprefix("NOTIFY_").lower()
        last.update(notified.values())
    assert found.tasks["person", "outcome"].labels == last
    assert found.tasks["person", "slots"].labels.total() == spans
    assert found.tasks["person", "intents"].fields == found.turns
    assert 0.05 < found.returning / found.dialogues < 0.2, "about a tenth return to an earlier goal"


def test_star_full_corpus_has_published_counts(corpora: Path):
    dialogues = list(Log([corpora / "star"], "star", max_bad_rate=0))
    found = log_stats(dialogues)
    assert (found.dialogues, len(found.users)) == (5285, 77)
    assert (found.feedback["answer", "yes"], found.feedback["answer", "no"]) == (1327, 475)
    assert found.feedback["disconnect", ""] == 576 + 93 + 1
    plain = list(json_files(corpora / "star" / "dialogues"))
    said = sum(e["Action"] == "utter" and e["Agent"] == "User" for d in plain for e in d["Events"])  # type: ignore[index]
    lines = sum(1 + turn.request.count("\n") for d in dialogues for turn in d.turns if turn.request)
    assert lines >= said == 42656
    completed = [d for d in dialogues if '"tasks"' in (d.extra or "") and '"Complete"' in (d.extra or "")]
    several = sum(len(goals_of(d)) >= 2 for d in completed)
    assert (len(completed), several) == (1365, 1273)
    for dialogue in dialogues:
        served = sorted(t for goal in goals_of(dialogue) for t in goal)
        assert served == [t for t, turn in enumerate(dialogue.turns) if turn.request]


def test_getgoing_full_corpus_has_published_counts(corpora: Path):
    found = log_stats(Log([corpora / "getgoing"], "getgoing"))
    calls = [json.loads(p.read_bytes())["history"] for p in sorted((corpora / "getgoing").rglob("log.json"))]
    known = [call for call in calls if all(line.startswith(("TTS", "USER")) for line in call)]
    assert (len(calls), found.dialogues, len(found.users)) == (837, len(known), 285)
    assert found.tasks["user", "outcome"].labels == {"success": 85, "failure": 12}
    said = {"USER no", "USER No.", "USER no."}
    denied = [c for c in known for a, b in pairwise(c) if "directions useful?" in a and b in said]
    assert found.feedback["answer", "no"] >= len(denied)


def test_betold_full_corpus_has_published_counts(corpora: Path):
    calls = json.loads((corpora / "betold" / "BETOLD_valid.json").read_bytes())
    found = list(Log([corpora / "betold"], "betold", max_bad_rate=0))
    stats = log_stats(found)
    assert stats.tasks["user", "outcome"].labels == {"success": 901, "failure": 451}
    assert stats.feedback["disconnect", ""] == 451
    by_user = Counter((c["LUHF"], c["utterances_annotations"][-1]["caller_name"]) for c in calls)
    assert by_user["luhf", "nlg"] / 451 > 0.96, "as published, who spoke last tells who ended the call"
    assert by_user["not_luhf", "nlu"] / 901 > 0.63
    assert all(d.turns[-1].response and len(d.turns) >= 8 for d in found)
    booked = Counter(bool(d.feedback) for d in found if d.turns[-1].response.endswith("confirm date scheduled"))
    assert booked == {False: 378, True: 27}, "cut as it is, a call may still end with what it was made for"


def test_uss_full_corpus_has_published_counts(corpora: Path):
    dialogues = list(Log([corpora / "uss"], "uss", max_bad_rate=0))
    found = log_stats(dialogues)
    assert found.sources == {
        "uss/MWOZ": 900,
        "uss/SGD": 900,
        "uss/CCPE": 450,
        "uss/ReDial": 900,
        "uss/ReDial-action": 329,
    }
    raters = Counter(len(d.annotations) for d in dialogues)
    assert raters[0] == 329
    assert min(r for r in raters if r) == 3
    overall = [d for d in dialogues if any(x.at == AtDialogue() for a in d.annotations for x in a.labels)]
    assert len(overall) == 3150
    parts = {
        part: len(list(Log([corpora / "uss" / "dataset" / "SGD.txt"], "uss", {"part": part})))
        for part in ("train", "valid")
    }
    assert parts == {"train": 800, "valid": 100}
