"""Evidence of where a goal broke: facts of turns, and the tool calls that went wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Step, Turn
from labelgen.data.labels import AtGoal, AtTurn
from labelgen.simulator.log import TRUTH, dialogue_at
from labelgen.simulator.world import WorldOptions
from labelgen.verdicts.evidence import _bin, evidence_of, faulty_calls

WORLD = WorldOptions(causes=1.0, steps=True, missing=0.1, false_wakes=0.1, out_of_scope=0.1)
DIALOGUES = [dialogue_at(5, k, WORLD) for k in range(40)]


def goals_of(dialogue: Dialogue) -> list[tuple[int, ...]]:
    truth = dialogue.annotation(TRUTH)
    assert truth is not None
    return [x.at.turns for x in truth.labels if x.task == "goals" and isinstance(x.at, AtGoal)]


def places(dialogue: Dialogue) -> list[AtTurn]:
    return [AtTurn(t) for t in range(len(dialogue.turns))]


def test_evidence_does_not_depend_on_faults_annotations_or_other_places() -> None:
    for dialogue in DIALOGUES:
        bare = replace(
            dialogue, extra=None, annotations=(), turns=tuple(replace(turn, extra=None) for turn in dialogue.turns)
        )
        together = evidence_of(dialogue, goals_of(dialogue), places(dialogue))
        assert together == evidence_of(bare, goals_of(dialogue), places(dialogue))
        assert together == [evidence_of(bare, goals_of(dialogue), [at])[0] for at in places(dialogue)]


def test_evidence_without_later_turns_is_that_of_the_dialogue_cut_there() -> None:
    for dialogue in DIALOGUES:
        for at in places(dialogue):
            cut = replace(dialogue, turns=dialogue.turns[: at.turn + 1])
            goals = [tuple(t for t in goal if t <= at.turn) for goal in goals_of(dialogue)]
            [before] = evidence_of(dialogue, goals_of(dialogue), [at], later=False)
            assert before == evidence_of(cut, [goal for goal in goals if goal], [at], later=False)[0]
            assert len(before.texts) == 4


def test_turns_of_other_goals_are_no_evidence() -> None:
    for dialogue in DIALOGUES:
        for goal in goals_of(dialogue):
            own = {
                t: replace(turn, request="other words", response="Other words.") if t not in goal else turn
                for t, turn in enumerate(dialogue.turns)
            }
            changed = replace(dialogue, turns=tuple(own.values()))
            at = [AtTurn(t) for t in goal]
            assert evidence_of(dialogue, [goal], at) == evidence_of(changed, [goal], at)


def test_what_the_log_lacks_is_a_fact_of_its_own() -> None:
    [content] = evidence_of(DIALOGUES[0], [(0,)], [AtTurn(0)])
    silent = replace(DIALOGUES[0], turns=(Turn(request="play music", response="Okay."),))
    [lacking] = evidence_of(silent, [(0,)], [AtTurn(0)])
    names = {fact.partition("=")[0] for fact in content.categories}
    assert {"asr_confidence", "status", "intent", "result error"} <= names
    for name in ("asr_confidence", "nlu_confidence", "status", "intent", "slots", "wake confidence", "result error"):
        assert f"{name}=?" in lacking.categories


def call(
    name: str = "weather",
    arguments: str = '{"place": "Ely"}',
    result: str | None = '{"rain": true}',
    error: str | None = None,
) -> Step:
    return Step(kind="tool", name=name, arguments=arguments, result=result, error=error)


FINE = Turn(request="what is the weather in Ely", response="Yes, rain is true.", steps=(call(),))


@pytest.mark.parametrize(
    ("kind", "index", "steps"),
    [
        ("tool_error", 1, (call(), call(error="timeout", result=None))),
        ("loop", 2, (call(), call(), call())),
        ("wrong_argument", 1, (call(), call(arguments='{"place": "Bath", "day": "Friday"}'))),
        ("ignored_result", 0, (call(result='{"snow": "heavy"}'),)),
        ("wrong_tool", 0, (call(name="send_mail", arguments='{"to": "anna"}'),)),
    ],
)
def test_injected_fault_of_a_call_is_found_at_its_step(kind: str, index: int, steps: tuple[Step, ...]) -> None:
    assert set(faulty_calls(FINE).values()) == {None}
    assert faulty_calls(replace(FINE, steps=steps))[kind] == index


@given(st.integers(0, 20), st.integers(0, 20))
def test_numbers_share_a_bin_where_no_edge_lies_between_them(one: int, other: int) -> None:
    """An edge belongs to the bin above it."""
    edges = (1, 2, 3, 4, 6, 9, 14)
    named = ["request words=" + _bin(float(n), edges) for n in (one, other)]
    for n, name in zip((one, other), named, strict=True):
        said = replace(DIALOGUES[0], turns=(Turn(request=" ".join(f"word{k}" for k in range(n)), response="Okay."),))
        assert name in evidence_of(said, [(0,)], [AtTurn(0)])[0].categories
    assert (named[0] == named[1]) == (np.digitize(one, edges) == np.digitize(other, edges))


def test_end_of_a_goal_is_known_by_its_last_status() -> None:
    turns = (Turn(request="play haze", response="Okay.", status="failed"), Turn(request="again", response="Okay."))
    said = replace(DIALOGUES[0], turns=turns)
    assert "end status=failed" in evidence_of(said, [(0,), (1,)], [AtTurn(0)])[0].categories
    assert "end status=?" in evidence_of(said, [(0, 1)], [AtTurn(0)])[0].categories
