"""A world grown from a corpus: it says what the corpus says, and its truth holds whatever is put in between."""

import re
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.base.errors import InputError, UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtGoal, AtSpan, AtTurn, Label, answers
from labelgen.data.log import Log, write_log
from labelgen.data.record import decode, encode
from labelgen.simulator.annotators import PEOPLE
from labelgen.simulator.corpus_world import CorpusSpeech, CorpusWorld
from labelgen.simulator.log import STAGES, TRUTH, simulate
from labelgen.simulator.scripts import build_index, meanings_of, read_corpus, script_of, swap
from labelgen.simulator.users import user_of
from labelgen.simulator.world import WorldOptions

SGD = Path(__file__).parents[1] / "lab" / "samples" / "sgd"
FAULTLESS = WorldOptions(
    wake_missed=0, misheard=0, intent_errors=0, slot_errors=0, entity_errors=0, result_errors=0, silent_errors=0,
    explored=0, reactions=0, asked=0, annotated=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """The sample of SGD, written with capitals and stops, and a log without them in labelgen's own form."""
    path = tmp_path_factory.mktemp("corpus") / "log.jsonl"
    write_log(path, simulate(60, 3, FAULTLESS))
    return {"sgd": read_corpus(f"sgd:{SGD}"), "own": read_corpus(f"labelgen:{path}")}


@pytest.fixture(scope="module")
def worlds(corpora):
    return {name: CorpusWorld(corpus) for name, corpus in corpora.items()}


def truth_of(dialogue):
    annotation = dialogue.annotation(TRUTH)
    assert annotation is not None
    return annotation


def goals_of(annotation):
    """The turns of each goal, in the order of their first turns."""
    return sorted(x.at.turns for x in annotation.labels if x.task == "goals" and isinstance(x.at, AtGoal))


def told(dialogue, annotation):
    """Every turn that serves a goal, with what is true of it."""
    goal_of = {t: g for g, goal in enumerate(goals_of(annotation)) for t in goal}
    intents = answers(annotation, "intents")
    slots = answers(annotation, "slots")
    return [
        (
            goal_of[t],
            turn.request.split(),
            turn.response,
            {x.name for x in intents[AtTurn(t)]},
            sorted((x.name, _value(turn, x)) for x in slots[AtTurn(t)]),
        )
        for t, turn in enumerate(dialogue.turns)
        if t in goal_of
    ]


def _value(turn, label):
    return turn.request[label.at.start : label.at.end] if label.value is None else label.value


@settings(max_examples=4)
@given(st.integers(0, 2**40), st.integers(1, 8), st.integers(0, 40))
def test_log_longer_one_starts_with_shorter(worlds, seed, count, more):
    for world in worlds.values():
        again = CorpusWorld(world.corpus)  # what it has drawn before changes nothing
        short = [encode(d) for d in simulate(count, seed, None, world)]
        assert [encode(d) for d in simulate(count + more, seed, None, again)][:count] == short


def test_corpus_world_without_faults_repeats_corpus(worlds):
    originals = {d.id: d for d in Log([SGD], "sgd")}
    world = worlds["sgd"]
    made = list(simulate(len(world.corpus.scripts), 5, FAULTLESS, world))
    assert len(made) >= 2
    for dialogue in made:
        original = originals[msgspec.json.decode(dialogue.extra or "")["corpus"]]
        assert told(dialogue, truth_of(dialogue)) == told(original, original.annotations[0])
        assert {x.name for x in truth_of(dialogue).labels if x.task == "outcome"} == {"success"}


def test_corpus_world_scripts_are_used_evenly(worlds):
    world = worlds["own"]
    count = len(world.corpus.scripts)
    for first in (0, count):
        assert {world.script(8, first + k).id for k in range(count)} == {s.id for s in world.corpus.scripts}


@settings(max_examples=8)
@given(st.integers(0, 10**9), st.floats(0, 1), st.floats(0, 1))
def test_corpus_world_truth_is_consistent(worlds, seed, trouble, reactions):
    options = WorldOptions(
        misheard=trouble, wake_missed=trouble, slot_errors=trouble, entity_errors=trouble, result_errors=trouble / 2,
        intent_errors=trouble / 2, reactions=reactions, asked=reactions, explored=reactions, carelessness=trouble,
    )  # fmt: skip
    for world in worlds.values():
        labels = world.labels()
        for dialogue in simulate(4, seed, options, world):
            assert decode(encode(dialogue), "simulated") == dialogue
            assert [a.annotator for a in dialogue.annotations] == [TRUTH, *(p.name for p in PEOPLE)]
            _holds(dialogue, labels[dialogue.source], world.corpus)


def _holds(dialogue, labels, corpus):
    truth = truth_of(dialogue)
    known = {task: {label.name for label in names} for task, names in labels.items()}
    fillers = {(name, value) for s in corpus.scripts for line in s.lines for name, _, _, value in line.slots}
    turns = {AtTurn(k) for k in range(len(dialogue.turns))}
    meant, slots = answers(truth, "intents"), answers(truth, "slots")
    assert set(meant) == turns == set(slots)
    assert {x.name for x in truth.labels if x.task == "intents"} <= known["intents"]
    serving = {AtTurn(t) for goal in goals_of(truth) for t in goal}
    rated = {x.at for x in truth.labels if x.task == "quality" and isinstance(x.at, AtTurn)}
    assert serving == {at for at, found in meant.items() if found} == rated
    for label in truth.labels:
        if isinstance(label.at, AtSpan):
            assert (label.name, label.value) in fillers
            request = dialogue.turns[label.at.turn].request
            words = request[label.at.start : label.at.end]
            assert words.strip() == words != ""
            assert not re.search(r"\w$", request[: label.at.start]) or not re.match(r"\w", words)
            assert not re.match(r"\w", request[label.at.end :]) or not re.search(r"\w$", words)
    times = [time for t in dialogue.turns for time in (t.time_s, t.response_time_s)]
    assert times == sorted(times)


@pytest.mark.parametrize("name", ["sgd", "own", None])
def test_corpus_world_failures_are_recorded(worlds, name):
    options = WorldOptions(misheard=0.3, intent_errors=0.1, slot_errors=0.2, annotated=0)
    causes = 0
    for dialogue in simulate(60, 4, options, None if name is None else worlds[name]):
        truth = truth_of(dialogue)
        faults = [msgspec.json.decode(t.extra)["faults"] if t.extra else [] for t in dialogue.turns]
        assert all(found == sorted(set(found), key=STAGES.index) for found in faults)
        rating = {x.at.turn: x.value for x in truth.labels if x.task == "quality" and isinstance(x.at, AtTurn)}
        # Four is a slow answer, or a question about what was left out.
        assert all(faults[t] for t, value in rating.items() if value < 4)
        failed = {x.at.turns[0]: x.at.turns for x in truth.labels if x.task == "outcome" and x.name == "failure"}
        given = msgspec.json.decode(dialogue.extra or "{}").get("causes", [])
        assert [cause["goal"] for cause in given] == sorted(failed)
        for cause in given:
            causes += cause["turn"] is not None
            if cause["turn"] is not None:
                assert cause["turn"] in failed[cause["goal"]]
                assert rating[cause["turn"]] < 4
                assert cause["stage"] == faults[cause["turn"]][0]
    assert causes > 10


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_rephrased_request_keeps_meaning(worlds, seed):
    rng = Random(seed)
    for corpus in (world.corpus for world in worlds.values()):
        speech = CorpusSpeech(build_index(corpus.scripts))
        user = user_of(0, 1)
        lines = [line for script in corpus.scripts for line in script.lines if line.goal is not None]
        for line in rng.choices(lines, k=12):
            step = line.step()
            found = speech.again(step, user, rng)
            spoken = [(step, found), (step, speech.complaint(found, True, rng))]
            if step.mentions:
                k = int(rng.random() * len(step.mentions))
                spoken += [speech.correction(step, k, rng), speech.answer_to(step, step.mentions[k][0], "", rng)]
                other = speech.other(step, rng)
                if other is not None:
                    assert other.response != step.response
                    spoken.append((other, speech.request(other, user, rng)))
            for one, phrase in spoken:
                spans, text = phrase.spans(), phrase.text()
                assert {k: text[a:b] for k, (a, b) in spans.items()} == {k: w for k, (_, w) in enumerate(one.mentions)}
                assert one.intents == step.intents


def test_rephrased_request_varies(corpora):
    corpus = corpora["own"]
    speech = CorpusSpeech(build_index(corpus.scripts))
    steps = [line.step() for script in corpus.scripts for line in script.lines if line.goal is not None]
    texts = [{speech.again(step, user_of(0, 1), Random(seed)).text() for seed in range(12)} for step in steps]
    assert all(step.words.text() not in said for step, said in zip(steps, texts, strict=True))
    assert sum(map(len, texts)) / len(texts) > 2


def test_intents_are_confused_with_similar_ones(corpora):
    meanings = meanings_of(build_index(corpora["own"].scripts))
    assert meanings.others["lights_on"][0] in ("lights_off", "dim_lights")
    for intent, others in meanings.others.items():
        assert intent not in others
        assert set(others) <= set(meanings.intents)


def test_swap_replaces_whole_words():
    assert swap("Trains to Rome, in romeo.", ("rome",), "Oslo") == "Trains to Oslo, in romeo."
    assert swap("At 11:30 am.", ("half past 11", "11:30"), "nine") == "At nine am."
    assert swap("At noon.", ("rome",), "Oslo") is None


def _annotated(*labels, request="to new york"):
    turn = Turn(request=request, response="Done.")
    goal = (Label("goals", AtGoal((0,)), "goal"), Label("intents", AtTurn(0), "go"))
    return Dialogue(id="d", turns=(turn,), annotations=(Annotation("anna", "person", (*goal, *labels)),))


def test_script_unusable_dialogue_has_reason():
    good = _annotated(Label("slots", AtSpan(0, 3, 11), "place"))
    script = script_of(good)
    assert not isinstance(script, str)
    assert script.lines[0].mentions() == (("place", "new york"),)
    overlapping = _annotated(Label("slots", AtSpan(0, 3, 11), "place"), Label("slots", AtSpan(0, 3, 6), "age"))
    inside = _annotated(Label("slots", AtSpan(0, 4, 11), "place"))
    failed = _annotated(Label("outcome", AtGoal((0,)), "failure"))
    aimless = replace(good, annotations=(Annotation("anna", "person", good.annotations[0].labels[1:]),))
    unserved = replace(
        good,
        turns=(*good.turns, good.turns[0]),
        annotations=(Annotation("anna", "person", (*good.annotations[0].labels, Label("intents", AtTurn(1), "go"))),),
    )
    reasons = [script_of(d) for d in (overlapping, inside, failed, aimless, unserved)]
    assert [isinstance(reason, str) for reason in reasons] == [True] * 5
    assert len(set(map(str, reasons))) == 4


def test_corpus_without_usable_dialogue_is_refused(tmp_path):
    with pytest.raises(UsageError, match="names no corpus"):
        read_corpus("sgd")
    with pytest.raises(UsageError, match="format"):
        read_corpus("sdg:somewhere")
    bare = tmp_path / "bare.jsonl"
    write_log(bare, [Dialogue(id="d", turns=(Turn(request="hi", response="hello"),))])
    with pytest.raises(InputError, match="can be retold"):
        read_corpus(f"labelgen:{bare}")
