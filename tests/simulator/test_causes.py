"""Causes in the simulated log: what the truth says of failed goals, what annotators see of it, and what the log lacks."""

import pytest
from msgspec.structs import replace

from labelgen.data.dialogue import words_of_step
from labelgen.data.labels import AtGoal
from labelgen.simulator.annotators import CALL_CAUSES, CAUSES, PEOPLE
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.world import WorldOptions
from labelgen.verdicts.evidence import CALLS, faulty_calls

NONE = dict.fromkeys(
    (
        *("wake_missed", "misheard", "intent_errors", "slot_errors"),
        *("entity_errors", "result_errors", "silent_errors"),
    ),
    0.0,
)
ALL = {"causes": 1.0, "steps": True, "missing": 0.1, "false_wakes": 0.1, "out_of_scope": 0.1}


def world(count, seed=3, **options):
    return list(simulate(count, seed, WorldOptions(**options)))


def causes(dialogue, who=TRUTH):
    return {x.at.turn: x.name for x in dialogue.annotation(who).labels if x.task == "cause"}


def goals(dialogue):
    return [
        (x.at.turns, x.name)
        for x in dialogue.annotation(TRUTH).labels
        if isinstance(x.at, AtGoal) and x.task == "outcome"
    ]


@pytest.fixture(scope="module")
def log():
    return world(300, **ALL)


def test_cause_labels_change_nothing_else():
    for plain, named in zip(world(40), world(40, causes=1.0), strict=True):
        kept = [replace(a, labels=tuple(x for x in a.labels if x.task != "cause")) for a in named.annotations]
        assert replace(named, annotations=tuple(kept)) == plain


def test_failed_goal_begins_to_fail_at_one_turn_at_most_and_no_other_goal_does(log):
    begun = 0
    for dialogue in log:
        found = causes(dialogue)
        for turns, outcome in goals(dialogue):
            beginnings = [t for t in turns if found[t] in CAUSES]
            assert len(beginnings) <= (outcome == "failure")
            begun += len(beginnings)
    failed = sum(outcome == "failure" for dialogue in log for _, outcome in goals(dialogue))
    assert begun > 0.95 * failed


@pytest.mark.parametrize(
    ("fault", "stages"),
    [
        ({"result_errors": 0.3}, {"result"}),
        ({"silent_errors": 0.3}, {"result"}),
        ({"entity_errors": 0.3}, {"entity"}),
        ({"intent_errors": 0.3}, {"understanding"}),
        ({"misheard": 0.9}, {"recognition"}),
        ({"false_wakes": 0.3}, {"wake"}),
        ({"out_of_scope": 0.3}, {"out_of_scope"}),
    ],
)
def test_one_kind_of_fault_is_the_cause_of_every_failure(fault, stages):
    seen = set()
    for dialogue in world(60, annotated=0.0, causes=1.0, **{**NONE, **fault}):
        seen |= set(causes(dialogue).values()) & set(CAUSES)
    assert seen == stages


@pytest.mark.parametrize(
    ("fault", "stages"),
    [
        ({"intent_errors": 0.3}, {"wrong_tool", "understanding"}),
        ({"slot_errors": 0.3}, {"wrong_argument", "understanding"}),
        ({"entity_errors": 0.3}, {"wrong_argument"}),
        ({"result_errors": 0.3}, {"tool_error", "loop"}),
        ({"silent_errors": 0.3}, {"ignored_result"}),
        ({"out_of_scope": 0.3}, {"out_of_scope"}),
    ],
)
def test_one_kind_of_fault_of_an_agent_is_the_cause_of_every_failure(fault, stages):
    seen = set()
    for dialogue in world(80, annotated=0.0, causes=1.0, agent=True, **{**NONE, **fault}):
        seen |= set(causes(dialogue).values()) & set(CALL_CAUSES)
    assert seen == stages


def test_true_step_of_an_agent_is_among_the_calls_of_its_turn():
    log = world(300, agent=True, **{name: value for name, value in ALL.items() if name != "steps"})
    labels = [(d.turns[x.at.turn], x) for d in log for x in d.annotation(TRUTH).labels if x.task == "cause" and x.value]
    assert len(labels) > 50
    for turn, label in labels:
        assert label.name in CALLS
        assert label.value in {words_of_step(k, step) for k, step in enumerate(turn.steps)}
    turns = [turn for d in log for turn in d.turns]
    assert {step.kind for turn in turns for step in turn.steps} == {"tool"}
    assert all(turn.asr_confidence is turn.nlu_confidence is turn.hypothesis is turn.status is None for turn in turns)


def test_calls_of_an_agent_that_look_wrong_are_often_right():
    """Else a rule would name the cause, and nothing would have to be learned."""
    log = world(200, annotated=0.0, agent=True, **NONE, causes=1.0)
    assert {name for d in log for name in causes(d).values()} <= {"none", "recovered", "understanding"}
    suspects = [name for d in log for turn in d.turns for name, k in faulty_calls(turn).items() if k is not None]
    assert {"tool_error", "wrong_tool", "wrong_argument", "ignored_result", "loop"} == set(suspects)


def test_recovered_turns_come_before_the_end_of_their_goal(log):
    for dialogue in log:
        found = causes(dialogue)
        for turns, _ in goals(dialogue):
            assert all(found[t] != "recovered" or t < turns[-1] for t in turns)


def test_annotators_name_another_turn_or_stage_at_their_rates():
    log = world(900, **ALL)
    for person in PEOPLE:
        pairs = [(name, causes(d, person.name).get(t)) for d in log for t, name in causes(d).items() if name in CAUSES]
        wrong = sum(a != b for a, b in pairs) / len(pairs)
        assert abs(wrong - person.quality) < 0.05


def test_fields_and_steps_are_missing_at_the_rate(log):
    turns = [turn for dialogue in log for turn in dialogue.turns if turn.request]
    for lacking in (lambda t: t.asr_confidence is None, lambda t: t.hypothesis is None, lambda t: t.status is None):
        assert 0.07 < sum(map(lacking, turns)) / len(turns) < 0.13
    assert 0.86 < sum(any(s.kind == "wake" for s in turn.steps) for turn in turns) / len(turns) < 0.94


def test_even_and_odd_phrases_share_fewer_requests_than_two_logs_of_one_part():
    def requests(part, seed):
        log = world(150, seed, phrases=part, annotated=0.0)
        return {turn.request for d in log for turn in d.turns if len(turn.request.split()) > 3}

    even = requests("even", 3)
    assert 2 * len(even & requests("odd", 4)) < len(even & requests("even", 4))
