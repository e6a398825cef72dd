"""MultiWOZ: acts, spans of words, goals by domain, and outcomes where a booking tells them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.readers.multiwoz import READER
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal, AtSpan, answers, division
from labelgen.data.record import Rejected


def slots(dialogue: Dialogue) -> list[tuple[int, str, str, str | float | None]]:
    """Each slot as its turn, name, the words that its span cuts, and its value."""
    spans = [(x, x.at) for x in dialogue.annotations[0].labels if isinstance(x.at, AtSpan)]
    return [(at.turn, x.name, dialogue.turns[at.turn].request[at.start : at.end], x.value) for x, at in spans]


def goals(dialogue: Dialogue) -> list[tuple[int, ...]]:
    return [x.at.turns for x in division(dialogue.annotations[0]) or () if isinstance(x.at, AtGoal)]


def outcomes(dialogue: Dialogue) -> dict[object, list[str]]:
    return {at: [x.name for x in given] for at, given in answers(dialogue.annotations[0], "outcome").items()}


def made(
    acts: list[dict[str, list[list[str]]]],
    goal: dict[str, object],
    state: dict[str, object],
    folder: Path,
) -> Dialogue:
    """A dialogue of these users' acts, whose last state is `state`."""
    log: list[dict[str, Any]] = []
    for k, act in enumerate(acts):
        log.append({"text": f"request {k}", "metadata": {}, "dialog_act": act, "span_info": []})
        log.append({"text": "answer", "metadata": state, "dialog_act": {"Hotel-Request": [["Area", "?"]]}})
    (folder / "train.json").write_text(json.dumps({"MUL1": {"goal": {**goal, "message": ["x"]}, "log": log}}))
    (found,) = READER.read(folder, {})
    assert isinstance(found, Dialogue)
    return found


HOTEL: dict[str, list[list[str]]] = {"Hotel-Inform": [["Area", "east"]]}
TAXI: dict[str, list[list[str]]] = {"Taxi-Inform": [["Dest", "ely"], ["Leave", "9"]]}
THANKS = {"general-thank": [["none", "none"]]}


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ([THANKS, HOTEL, {}, TAXI, THANKS, HOTEL], [(0, 1, 2, 5), (3, 4)]),
        ([HOTEL, HOTEL | TAXI, HOTEL | TAXI], [(0,), (1, 2)]),
        ([TAXI, HOTEL | TAXI], [(0,), (1,)]),
        ([THANKS, {}], []),
    ],
)
def test_multiwoz_turn_without_acts_keeps_previous_domain(
    acts: list[dict[str, list[list[str]]]], expected: list[tuple[int, ...]], tmp_path: Path
):
    found = made(acts, {}, {"hotel": {}}, tmp_path)
    assert goals(found) == expected
    served = sorted(t for goal in goals(found) for t in goal)
    assert served == (list(range(len(acts))) if expected else []), "every turn serves one goal, where there is one"


@pytest.mark.parametrize(
    ("goal", "state", "expected"),
    [
        ({"info": {"area": "east"}, "book": {"stay": "2", "invalid": True}}, {"book": {"booked": [{"x": 1}], "stay": "2"}}, "success"),
        ({"info": {"area": "east"}, "book": {"stay": "2"}}, {"book": {"booked": [{"x": 1}], "stay": "3"}}, None),
        ({"info": {"area": "east"}, "book": {"stay": "2"}}, {"semi": {"area": "west"}, "book": {"booked": [{"x": 1}]}}, None),
        ({"info": {"name": "the oak"}, "book": {"stay": "2"}}, {"semi": {"name": "Oak"}, "book": {"booked": [{"x": 1}]}}, "success"),
        ({"info": {}, "book": {"stay": "2"}}, {"semi": {}, "book": {"booked": []}}, "failure"),
        ({"info": {}, "book": {"stay": "2"}}, {}, "failure"),
        ({"info": {"area": "east"}, "reqt": ["phone"]}, {"semi": {"area": "east"}, "book": {"booked": []}}, None),
        ({}, {"book": {"booked": [{"x": 1}]}}, None),
    ],
)  # fmt: skip
def test_multiwoz_outcome_follows_booking(
    goal: dict[str, object], state: dict[str, object], expected: str | None, tmp_path: Path
):
    found = made([HOTEL], {"hotel": goal}, {"hotel": state}, tmp_path)
    assert outcomes(found) == ({} if expected is None else {AtGoal((0,)): [expected]})


word = st.tuples(st.sampled_from(["a", "é🍕", "n't"]), st.sampled_from([" ", "   ", "\xa0"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(word, min_size=1, max_size=6), data=st.data())
def test_multiwoz_spans_of_words_cut_first_to_last(words: list[tuple[str, str]], data: st.DataObject, tmp_path: Path):
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words)))
    text = "".join(word + blank for word, blank in words)
    said = " ".join(word for word, _ in words[first : last + 1])
    span = ["Hotel-Inform", "Area", said, first, last]
    log = [
        {"text": "hello", "metadata": {}, "dialog_act": {}, "span_info": []},
        {"text": text, "metadata": {}, "dialog_act": {"Hotel-Inform": [["Area", said]]}, "span_info": [span, span]},
    ]
    (tmp_path / "val.json").write_text(json.dumps({"MUL1": {"goal": {}, "log": log}}))
    (found,) = READER.read(tmp_path, {})
    if last == len(words):
        assert isinstance(found, Rejected)
        assert (found.dialogue, found.field) == ("multiwoz/val/MUL1", "log[1].span_info[0]")
        assert found.reason.startswith("bad_span")
        return
    assert isinstance(found, Dialogue)
    ((turn, name, cut, value),) = slots(found)
    assert (turn, name, cut.split(), value) == (0, "Hotel-Area", said.split(), None)
