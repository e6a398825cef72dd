"""Training data for the next assistant: which records are made of labels and feedback, where they come from, and what is left out."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import labelgen
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import Abstained, Annotation, AtGoal, AtSpan, AtTurn, Field, Label, NoLabel
from labelgen.data.log import write_log
from labelgen.feedback.training_data import FORMS, Form, training_records

TURNS = (
    Turn(request="play jazz", response="Playing rock."),
    Turn(request="no, jazz music", response="Playing jazz."),
    Turn(request="thanks", response="You are welcome."),
)
AGAIN = Signal(kind="correction", turns=(0,), vote="bad", evidence=(1,))


def records(dialogue: Dialogue, form: Form, least: float = 0.0) -> tuple[list[dict[str, Any]], Counter[str]]:
    left_out: Counter[str] = Counter()
    return list(training_records(dialogue, form, "model", left_out, least)), left_out


def labeled(*labels: Label, turns: tuple[Turn, ...] = TURNS, **more: Any) -> Dialogue:
    return Dialogue(id="d", turns=turns, annotations=(Annotation("model", "model", labels, **more),))


def outcome(name: str, *turns: int, p: float = 0.9) -> Label:
    return Label("outcome", AtGoal(turns), name, p)


def test_reached_goal_is_a_chat_and_says_where_it_comes_from():
    (chat,), left_out = records(labeled(outcome("success", 1, 2), outcome("failure", 0)), "sft")
    assert [message["role"] for message in chat["messages"]] == ["user", "assistant"] * 2
    assert [message["content"] for message in chat["messages"]][:2] == ["no, jazz music", "Playing jazz."]
    assert (chat["dialogue"], chat["turns"], chat["annotator"], chat["probability"]) == ("d", [1, 2], "model", 0.9)
    assert left_out == {"the goal was not reached": 1}


@pytest.mark.parametrize(
    ("dialogue", "least", "reason"),
    [
        (labeled(outcome("success", 0, p=0.6)), 0.7, "the probability is too low"),
        (labeled(outcome("success", 0, 1), Label("quality", AtTurn(0), "bad")), 0.0, "a turn is bad"),
        (
            labeled(outcome("success", 0), turns=(Turn(request=" ", response="a"),)),
            0.0,
            "a request or response is empty",
        ),
        (Dialogue(id="d", turns=TURNS), 0.0, "the annotator did not label the dialogue"),
    ],
)
def test_other_goals_are_left_out_with_a_reason(dialogue: Dialogue, least: float, reason: str):
    assert records(dialogue, "sft", least) == ([], Counter([reason]))


def test_request_made_again_prefers_the_later_response():
    (pair,), left_out = records(Dialogue(id="d", turns=TURNS, signals=(AGAIN,)), "preferences")
    assert pair["prompt"] == [{"role": "user", "content": "play jazz"}]
    assert pair["rejected"] == [{"role": "assistant", "content": "Playing rock."}]
    assert pair["chosen"] == [{"role": "assistant", "content": "Playing jazz."}]
    assert (pair["from"], pair["turns"]) == ("correction", [0, 1])
    assert not left_out


@pytest.mark.parametrize(
    ("dialogue", "reason"),
    [
        (labeled(Label("quality", AtTurn(1), "bad")), "the request that was made again failed too"),
        (
            labeled(Label("goals", AtGoal((0,)), "goal"), Label("goals", AtGoal((1, 2)), "goal")),
            "the turns serve different goals",
        ),
        (Dialogue(id="d", turns=(replace(TURNS[0], response="Playing jazz."), TURNS[1])), "both responses are equal"),
        (Dialogue(id="d", turns=(replace(TURNS[0], response=""), TURNS[1])), "a request or response is empty"),
    ],
)
def test_other_pairs_are_left_out_with_a_reason(dialogue: Dialogue, reason: str):
    assert records(replace(dialogue, signals=(AGAIN,)), "preferences") == ([], Counter([reason]))


def test_understood_request_has_intents_and_spans():
    slot = Label("slots", AtSpan(0, 5, 9), "genre", 0.7, "jazz")
    dialogue = labeled(
        Label("intents", AtTurn(0), "play", 0.8),
        slot,
        none=(NoLabel("intents", AtTurn(1)),),
        abstained=(Abstained(Field("intents", AtTurn(2))),),
    )
    (first, second), left_out = records(dialogue, "nlu")
    assert (first["text"], first["intents"], first["probability"]) == ("play jazz", ["play"], 0.7)
    assert first["slots"] == [{"name": "genre", "start": 5, "end": 9, "text": "jazz", "value": "jazz"}]
    assert (second["intents"], second["slots"], second["turns"]) == ([], [], [1])
    assert left_out == {"the annotator withheld a label": 1}


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from(["rephrase", "retry", "stop"])), max_size=8
    )
)
def test_no_pair_prefers_a_response_that_signals_call_bad(drawn: list[tuple[int, int, str]]):
    turns = tuple(Turn(request=f"request {k}", response=f"response {k}") for k in range(5))
    signals = tuple(Signal(kind=kind, turns=(a,), vote="bad", evidence=(b,)) for a, b, kind in drawn)
    bad = {a for a, _, _ in drawn}
    for pair in records(Dialogue(id="d", turns=turns, signals=signals), "preferences")[0] if signals else []:
        failed, accepted = pair["turns"]
        assert failed < accepted
        assert accepted not in bad
        assert pair["chosen"][0]["content"] == f"response {accepted}"
        assert pair["prompt"][-1]["content"] == f"request {failed}"


def test_command_and_python_give_the_same_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    dialogue = replace(labeled(outcome("success", 1, 2), Label("intents", AtTurn(0), "play")), signals=(AGAIN,))
    write_log(tmp_path / "log.jsonl", [dialogue])
    for form in FORMS:
        out = tmp_path / f"{form}.jsonl"
        assert main(["data", "export", str(tmp_path / "log.jsonl"), str(out), "--form", form]) == 0
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert lines
        assert lines == labelgen.training_data(tmp_path / "log.jsonl", form)
        assert f"{len(lines)} records in" in capsys.readouterr().out
    words = ["data", "export", str(tmp_path / "log.jsonl")]
    assert main([*words, str(tmp_path / "x.csv"), "--form", "sft"]) == 2
    assert main([*words, str(tmp_path / "x.jsonl"), "--form", "sft", "--annotator", "ann"]) == 2
    assert not (tmp_path / "x.jsonl").exists()
    with pytest.raises(labelgen.LabelgenError, match="csv"):
        labelgen.training_data(tmp_path / "log.jsonl", "csv")
