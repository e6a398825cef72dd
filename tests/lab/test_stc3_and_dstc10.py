"""STC-3, nineteen people and no texts; DSTC10, spoken requests as a recognizer heard them."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.readers import dstc10, stc3
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtDialogue, AtGoal, Rating, answers
from labelgen.data.record import Rejected

OUTCOME = {-2: "failure", -1: "failure", 0: None, 1: "success", 2: "success"}

votes = st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(votes=votes, senders=st.lists(st.sampled_from(["customer", "helpdesk"]), min_size=1, max_size=5))
def test_stc3_votes_of_all_annotators_are_read(votes: list[tuple[int, int]], senders: list[str], tmp_path: Path):
    told = {
        "id": "7",
        "turns": [{"sender": sender, "utterances": ["", f"line {k}"]} for k, sender in enumerate(senders)],
        "annotations": [{"quality": {"A": a, "S": s, "E": 0}, "nugget": []} for a, s in votes],
    }
    (tmp_path / "train_data_en.json").write_text(json.dumps([told]))
    (found,) = stc3.READER.read(tmp_path, {})
    assert isinstance(found, Dialogue)
    assert found.id == "stc3/train_data_en/7"
    said = "\n".join(text for turn in found.turns for text in (turn.request, turn.response) if text)
    assert said == "\n".join(f"line {k}" for k in range(len(senders)))
    goal = AtGoal(tuple(t for t, turn in enumerate(found.turns) if turn.request))
    for (a, s), annotation in zip(votes, found.annotations, strict=True):
        (quality,) = answers(annotation, "quality")[AtDialogue()]
        assert (quality.value, quality.given) == (s + 3.0, Rating(float(s), (-2.0, 2.0)))
        outcome = answers(annotation, "outcome")
        expected = () if OUTCOME[a] is None else (OUTCOME[a],)
        assert {at: tuple(x.name for x in given) for at, given in outcome.items()} == (
            {goal: expected} if goal.turns else {}
        )


def test_stc3_rating_off_scale_is_rejected(tmp_path: Path):
    told = {"id": "7", "turns": [], "annotations": [{"quality": {"A": 0, "S": 3}}]}
    (tmp_path / "train_data_cn.json").write_text(json.dumps([told, {"id": 8}]))
    high, odd = stc3.READER.read(tmp_path, {})
    assert isinstance(high, Rejected)
    assert isinstance(odd, Rejected)
    assert (high.field, high.reason.partition(":")[0]) == ("annotations[0].quality.rating", "bad_rating")
    assert (odd.dialogue, odd.reason.partition(":")[0]) == ("stc3/train_data_cn/[1]", "bad_type")


def test_dstc10_labels_missing_are_accepted_but_wrong_count_is_not(tmp_path: Path):
    logs = [[{"speaker": "U", "text": "hi", "nbest": []}, {"speaker": "U", "text": "you", "nbest": []}], []]
    (tmp_path / "logs.json").write_text(json.dumps(logs))
    first, second = dstc10.READER.read(tmp_path, {})
    assert isinstance(first, Dialogue)
    assert isinstance(second, Dialogue)
    assert ([t.request for t in first.turns], first.annotations, second.turns) == (["hi\nyou"], (), ())
    (tmp_path / "labels.json").write_text(json.dumps([{"target": True}]))
    (rejected,) = dstc10.READER.read(tmp_path, {})
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "bad_labels: 1 labels for 2 dialogues"
    (tmp_path / "labels.json").write_text(json.dumps([{"target": True}] * 2))
    first, second = dstc10.READER.read(tmp_path, {})
    assert isinstance(second, Dialogue)
    assert second.annotations == (), "nothing was said that could be labeled"
