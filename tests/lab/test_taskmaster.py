"""Taskmaster: single actions of an agent, and the measure of how well they are judged."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from benchmarks.actions import auprc
from benchmarks.readers.taskmaster import READER, opening_of
from labelgen.data.dialogue import Dialogue
from labelgen.data.record import Rejected

GREETING = {"role": "agent", "text": "Hello."}
WISH = {"role": "user", "text": "Is Nope on?"}
CALL = {"role": "agent", "api": {"find_theaters": {"name.movie": "Nope"}}}
RESULT = {"role": "api", "response": {"find_theaters": {"name.theater": ["AMC"]}}}
ANSWER = {"role": "agent", "text": "It is on at AMC."}


def read(folder: Path, *rows: dict) -> list:
    file = folder / "TM-3-2020" / "reward" / "reward_00.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows))
    return list(READER.read(file.parents[1], {}))


def row(context: list, action: dict, reward: float = 1.0) -> dict:
    return {"conversation_id": "d", "context": json.dumps(context), "generation": json.dumps(action), "reward": reward}


@pytest.mark.parametrize(("reward", "name"), [(1.0, "good"), (0.0, "bad")])
def test_taskmaster_last_action_is_the_judged_turn(tmp_path: Path, reward: float, name: str):
    [dialogue] = read(tmp_path, row([GREETING, WISH, CALL, RESULT], ANSWER, reward))
    assert [turn.request for turn in dialogue.turns] == [
        "",
        "Is Nope on?",
        json.dumps(RESULT["response"], separators=(",", ":")),
    ]
    assert dialogue.turns[-1].response == "It is on at AMC."
    [step] = dialogue.turns[1].steps
    assert (step.name, json.loads(step.arguments)) == ("find_theaters", {"name.movie": "Nope"})
    [label] = dialogue.annotations[0].labels
    assert (label.at.turn, label.name) == (2, name)


def test_taskmaster_family_is_the_first_two_messages(tmp_path: Path):
    short, long, other = read(
        tmp_path,
        row([GREETING, WISH], CALL),
        row([GREETING, WISH, CALL, RESULT], ANSWER),
        row([GREETING, {"role": "user", "text": "Is Jaws on?"}], CALL),
    )
    assert opening_of(short) == opening_of(long) != opening_of(other)


@pytest.mark.parametrize("bad", [row([], ANSWER, 0.5), row([], ANSWER) | {"context": "[{]"}, {"reward": 1.0}])
def test_taskmaster_bad_row_is_rejected_alone(tmp_path: Path, bad: dict):
    first, second = read(tmp_path, bad, row([], ANSWER))
    assert isinstance(first, Rejected)
    assert first.line == 1
    assert isinstance(second, Dialogue)


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.5, 0.9]), st.booleans(), st.integers(1, 3)), min_size=1).filter(
        lambda x: any(y for _, y, _ in x)
    )
)
def test_average_precision_under_weights_equals_scikit_learn(items: list[tuple[float, bool, int]]):
    scores, wanted, times = (np.array(column) for column in zip(*items, strict=True))
    [found] = auprc(scores, wanted, times[None].astype(float))
    assert found == pytest.approx(average_precision_score(wanted, scores, sample_weight=times))
