"""The simulated log: pure, valid, and with a truth that fits what the log holds."""

import re
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal, AtSpan, AtTurn, answers
from labelgen.data.record import decode, encode
from labelgen.simulator.annotators import PEOPLE
from labelgen.simulator.log import SOURCE, TRUTH, dialogue_at, labels, simulate
from labelgen.simulator.world import WorldOptions

FAULTLESS = WorldOptions(
    wake_missed=0, misheard=0, intent_errors=0, slot_errors=0, entity_errors=0, result_errors=0, silent_errors=0
)


@pytest.fixture(scope="module")
def log() -> list[Dialogue]:
    return list(simulate(800, 11))


def truth_of(dialogue):
    annotation = dialogue.annotation(TRUTH)
    assert annotation is not None
    return annotation


@settings(max_examples=15, deadline=None)
@given(st.integers(-(2**63), 2**63), st.integers(1, 12), st.integers(0, 12))
def test_log_longer_one_starts_with_shorter(seed, count, more):
    short = [encode(d) for d in simulate(count, seed)]
    long = [encode(d) for d in islice(simulate(count + more, seed), count)]
    assert short == long
    assert encode(dialogue_at(seed, count - 1)) == short[-1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**9), st.floats(0, 1), st.floats(0, 1))
def test_log_records_are_valid(seed, trouble, reactions):
    options = WorldOptions(
        misheard=trouble, wake_missed=trouble, slot_errors=trouble, entity_errors=trouble, result_errors=trouble / 2,
        intent_errors=trouble / 2, reactions=reactions, asked=reactions, carelessness=trouble,
    )  # fmt: skip
    for dialogue in simulate(8, seed, options):
        assert decode(encode(dialogue), "simulated") == dialogue
        assert [a.annotator for a in dialogue.annotations] == [TRUTH, *(p.name for p in PEOPLE)]


def test_log_ids_unique_and_times_ascending(log):
    assert len({d.id for d in log}) == len(log)
    starts = [d.start for d in log]
    assert starts == sorted(starts)
    for dialogue in log:
        assert dialogue.source == SOURCE
        times = [time for t in dialogue.turns for time in (t.time_s, t.response_time_s)]
        assert times == sorted(times)


def test_truth_answers_every_field(log):
    known = {task: {label.name for label in names} for task, names in labels()[SOURCE].items()}
    for dialogue in log:
        truth = truth_of(dialogue)
        turns = {AtTurn(k) for k in range(len(dialogue.turns))}
        assert set(answers(truth, "intents")) == turns == set(answers(truth, "slots"))
        assert {x.name for x in truth.labels if x.task == "intents"} <= known["intents"]
        assert {x.name for x in truth.labels if x.task == "slots"} <= known["slots"]
        # A turn serves no goal exactly where it asks for nothing; then there is nothing to rate either.
        serving = {
            AtTurn(t) for x in truth.labels if x.task == "goals" and isinstance(x.at, AtGoal) for t in x.at.turns
        }
        meaning = {at for at, found in answers(truth, "intents").items() if found}
        rated = {x.at for x in truth.labels if x.task == "quality" and isinstance(x.at, AtTurn)}
        assert serving == meaning == rated


def test_truth_spans_are_on_words(log):
    for dialogue in log:
        for label in truth_of(dialogue).labels:
            if isinstance(label.at, AtSpan):
                request = dialogue.turns[label.at.turn].request
                assert request[label.at.start : label.at.end].strip() == request[label.at.start : label.at.end] != ""
                assert re.search(r"\S$", request[: label.at.start]) is None
                assert re.match(r"\S", request[label.at.end :]) is None


def test_truth_spans_match_recognized_values():
    spans = 0
    for dialogue in simulate(200, 5, FAULTLESS):
        for label in truth_of(dialogue).labels:
            if isinstance(label.at, AtSpan):
                assert dialogue.turns[label.at.turn].request[label.at.start : label.at.end] == label.value
                spans += 1
    assert spans > 300


def test_goals_without_faults_fail_only_after_questions():
    for dialogue in simulate(300, 5, FAULTLESS):
        for label in truth_of(dialogue).labels:
            if label.task == "outcome" and label.name == "failure":
                assert isinstance(label.at, AtGoal)
                assert "clarify" in {dialogue.turns[t].status for t in label.at.turns}
            if label.task == "quality" and isinstance(label.at, AtTurn):
                assert label.name == "good"


@pytest.mark.parametrize(
    "stage", ["misheard", "intent_errors", "slot_errors", "entity_errors", "result_errors", "silent_errors"]
)
def test_faults_of_each_stage_lower_success(stage):
    def bad_turns(options):
        found = [x.name for d in simulate(150, 9, options) for x in truth_of(d).labels if x.task == "quality"]
        return found.count("bad") / len(found)

    harmful = replace(FAULTLESS, **{stage: 0.5})  # type: ignore[arg-type]
    assert bad_turns(harmful) > bad_turns(FAULTLESS) + 0.05


@pytest.mark.parametrize("kind", ["barge_in", "stop", "disconnect"])
def test_reactions_correlate_with_turn_quality(log, kind):
    marked = [
        rated[AtTurn(k)][0].name
        for dialogue in log
        for rated in [answers(truth_of(dialogue), "quality")]
        for k, turn in enumerate(dialogue.turns)
        for feedback in turn.feedback
        if feedback.kind == kind and AtTurn(k) in rated
    ]
    assert len(marked) > 20
    assert marked.count("bad") / len(marked) > 0.5
