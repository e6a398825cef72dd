"""Where a goal broke: the decision by the goal, its probabilities, steps and reasons."""

import json
import math
from dataclasses import replace as changed
from itertools import product
from statistics import fmean

import pytest
import torch
from layouts import layout_of
from msgspec.structs import replace

from labelgen.base.registry import resolve
from labelgen.cli.calibrate import certified_lines
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Step, Turn
from labelgen.data.labels import Annotation, AtTurn, Label, annotation_of, targets_of
from labelgen.data.log import Log, write_log
from labelgen.data.reader import READERS, Reader
from labelgen.model.annotate import annotate, reasons
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.calibration import read_calibration
from labelgen.model.folder import load_model, save_model
from labelgen.model.options import ModelOptions
from labelgen.report.terminal import DialogueView, drawn_text
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.world import WorldOptions
from labelgen.steps.calibrate import CertifyOptions
from labelgen.tasks import TaskOptions
from labelgen.tasks.cause import BEGINNINGS, Cause, step_words
from labelgen.tasks.task import fixed_labels

NAMES = Cause.names
FIRST = len(BEGINNINGS)
TASK = Cause(fixed_labels(Cause), TaskOptions())  # type: ignore[arg-type]


def layout(goals, turns, failures=()):
    dialogue = Dialogue(id="d", turns=tuple(Turn(request="a", response="b") for _ in range(turns)))
    probabilities = {(0, goal): p for goal, p in zip(goals, failures, strict=False)}
    return changed(layout_of(turns), goals=(tuple(goals),), dialogues=(dialogue,), failures=probabilities)


def decode(scores, goals, failures=()):
    return list(TASK.decode(scores, layout(goals, len(scores), failures))[0])


def naive(rows):
    """Probability of each pair of turn and name of a goal, by enumeration: at most one turn begins, others do not."""
    pairs = {}
    none = 1.0
    for row in rows:
        none *= sum(row[FIRST:])
    for k, name in product(range(len(rows)), range(FIRST)):
        p = rows[k][name]
        for other, row in enumerate(rows):
            p *= 1.0 if other == k else sum(row[FIRST:])
        pairs[k, name] = p
    total = none + sum(pairs.values())
    return {pair: p / total for pair, p in pairs.items()}


@pytest.mark.parametrize("seed", range(6))
def test_probabilities_of_a_goal_equal_enumeration(seed):
    torch.manual_seed(seed)
    scores = 2.0 * torch.randn(5, len(NAMES))
    goal = (0, 2, 3)
    labels = decode(scores, [goal])
    wanted = naive([scores[t].double().softmax(0).tolist() for t in goal])
    for k, t in enumerate(goal):
        found = dict(labels[t].distribution)
        assert sum(found.values()) == pytest.approx(1.0)
        assert [found[n] for n in BEGINNINGS] == pytest.approx([wanted[k, n] for n in range(FIRST)])
    begun = [(goal.index(x.at.turn), NAMES.index(x.name)) for x in labels if x.name in BEGINNINGS]
    assert begun == ([max(wanted, key=wanted.get)] if sum(wanted.values()) > 0.5 else [])


def test_turn_without_a_goal_begins_no_failure():
    scores = torch.zeros(2, len(NAMES))
    scores[:, 0] = 9.0
    assert [x.name in BEGINNINGS for x in decode(scores, [(0,)])] == [True, False]


def test_surer_outcome_makes_a_beginning_more_probable_and_decides_where_turns_do_not():
    scores = torch.zeros(2, len(NAMES))
    scores[:, -1] = 2.0
    found = [decode(scores, [(0, 1)], [p]) for p in (0.01, 0.5, 0.99)]
    mass = [sum(p for x in labels for n, p in x.distribution if n in BEGINNINGS) for labels in found]
    assert mass == sorted(mass)
    assert [sum(x.name in BEGINNINGS for x in labels) for labels in found][::2] == [0, 1]


def test_step_is_the_first_of_the_stage_with_an_error():
    lookup = Step(kind="resolution", name="song", error="no match")
    turn = Turn(
        request="play x", response="No.", steps=(Step(kind="wake"), Step(kind="resolution", name="room"), lookup)
    )
    assert [step_words(turn, stage) for stage in ("wake", "entity", "result", "out_of_scope")] == [
        "step 1 wake",
        "step 3 song",
        None,
        None,
    ]


def test_failed_call_of_a_trace_is_shown_as_its_step(tmp_path):
    """A trace in OpenInference form whose second tool call failed."""
    attributes = {"session.id": "s1"}
    spans = [
        ("chain", 0, 9, {"input.value": "weather in Ely", "output.value": "I could not find it."}, None),
        ("TOOL", 1, 2, {"tool.name": "places", "input.value": '{"q": "Ely"}', "output.value": "Ely"}, "chain"),
        ("TOOL", 3, 4, {"tool.name": "weather", "input.value": '{"place": "Ely"}'}, "chain"),
    ]
    records = []
    for k, (kind, start, end, values, parent) in enumerate(spans):
        records.append(
            {
                "name": values.get("tool.name", "agent"),
                "context": {"trace_id": "t1", "span_id": f"a{k}"},
                "parent_id": "a0" if parent else None,
                "start_time": f"2026-03-01T08:00:0{start}Z",
                "end_time": f"2026-03-01T08:00:0{end}Z",
                "status": {"status_code": "ERROR", "description": "timeout"} if k == 2 else {"status_code": "OK"},
                "attributes": {"openinference.span.kind": kind if k else "AGENT", **attributes, **values},
            }
        )
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    reader: Reader = resolve(READERS, "opentelemetry", "form")
    [dialogue] = [x for x in reader.read(path, {}) if isinstance(x, Dialogue)]
    scores = torch.zeros(len(dialogue.turns), len(NAMES))
    scores[:, NAMES.index("tool_error")] = 9.0
    goal = tuple(range(len(dialogue.turns)))
    [answers] = TASK.decode(scores, changed(layout([goal], len(goal)), dialogues=(dialogue,)))
    assert [x.value for x in answers if isinstance(x, Label) and x.name == "tool_error"] == ["step 2 weather"]
    drawn = drawn_text(DialogueView(dialogue, annotation_of("m", "model", answers)))
    assert "cause tool_error step 2 weather" in drawn
    assert '✗ step 2 weather {"place": "Ely"} timeout' in drawn


def learned(log):
    return [replace(d, targets=targets_of(d.annotation(TRUTH)), annotations=()) for d in log]


@pytest.fixture(scope="module")
def model(tiny_encoder):
    torch.manual_seed(0)
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=16, dialogue_heads=2, dialogue_layers=1)
    world = WorldOptions(causes=1.0, annotated=0.0, steps=True, false_wakes=0.1, out_of_scope=0.1)
    log = learned(simulate(160, 3, world))
    tasks = {"outcome": TaskOptions(ngrams=200), "cause": TaskOptions(ngrams=200, linear_share=1.0)}
    return build_model(options, tasks, {}, log).eval()


@pytest.fixture(scope="module")
def held_out():
    world = WorldOptions(causes=1.0, annotated=0.0, steps=True, false_wakes=0.1, out_of_scope=0.1, phrases="odd")
    return list(simulate(80, 4, world))


def causes(annotation: Annotation | None):
    assert annotation is not None
    return {x.at.turn: x.name for x in annotation.labels if isinstance(x.at, AtTurn) and x.task == "cause"}


def test_fitted_member_names_more_turns_and_stages_of_new_dialogues_than_any_constant(model, held_out):
    right, true = 0, []
    for dialogue, answers in zip(held_out, annotate(model, held_out, TRUTH), strict=True):
        found = causes(annotation_of("m", "model", answers))
        for t, name in causes(dialogue.annotation(TRUTH)).items():
            if name in BEGINNINGS:
                true.append(name)
                right += found[t] == name
    assert right > 1.5 * max(true.count(name) for name in true)


def test_labels_have_reasons_and_survive_the_model_folder(model, held_out, tmp_path):
    def named(model):
        labels = [x for answers in annotate(model, held_out[:20], TRUTH) for x in answers if isinstance(x, Label)]
        return [(x.at, x.name, x.origin) for x in labels if x.task == "cause"]

    before = named(model)
    assert all(origin for _, name, origin in before if name != "none")
    assert {name for _, name, _ in before} & set(BEGINNINGS)
    save_model(model, tmp_path / "model", {})
    assert named(load_model(tmp_path / "model")) == before


def test_explained_label_carries_the_facts_of_its_label(model, held_out):
    explained = [(label, why) for d in held_out[:20] for label, why in reasons(model, d) if label.task == "cause"]
    assert any(why == label.origin and "=" in why for label, why in explained if label.name != "none")
    assert {type(label.at) for label, _ in explained} == {AtTurn}


@pytest.fixture(scope="module")
def certified(model, tmp_path_factory):
    """The folder of the model, calibrated and certified against the truth of a log, and others of its world."""
    world = WorldOptions(causes=1.0, annotated=0.0, steps=True, false_wakes=0.1, out_of_scope=0.1, phrases="odd")
    log = list(simulate(380, 5, world))
    folder = tmp_path_factory.mktemp("certified")
    save_model(model, folder / "model", {})
    write_log(folder / "calibration.jsonl", log[:280], {})
    write_log(folder / "new.jsonl", log[280:], {})
    words = [str(folder / "calibration.jsonl"), "--model", str(folder / "model"), "--reference", TRUTH]
    assert main(["calibrate", *words]) == 0
    assert main(["certify", *words, "--max-error", "0.3", "--confidence", "0.9"]) == 0
    return folder


def named_and_right(annotation, dialogue):
    truth = causes(dialogue.annotation(TRUTH))
    labels = (x for x in annotation.labels if x.task == "cause" and x.name != "none" and x.at.turn in truth)
    return [(x, truth[x.at.turn] == x.name) for x in labels]


def test_scaled_probabilities_have_a_lower_log_loss_in_new_dialogues(certified):
    log, nats = list(Log([certified / "new.jsonl"])), []
    for calibrated in (False, True):
        # Of a threshold of 0 all labels are given.
        annotator = Annotator(certified / "model", calibrated=calibrated, thresholds={"cause": 0.0})
        nats.append(
            fmean(
                -math.log(dict(x.distribution or ())[truth[x.at.turn]])
                for annotation, dialogue in zip(annotator.annotate(log), log, strict=True)
                for truth in [causes(dialogue.annotation(TRUTH))]
                for x in annotation.labels
                if x.task == "cause" and isinstance(x.at, AtTurn) and x.at.turn in truth
            )
        )
    assert nats[1] < nats[0]


def test_certified_threshold_withholds_named_causes_alone_and_bounds_their_errors_in_new_dialogues(certified):
    calibration = read_calibration(certified / "model")
    assert calibration is not None
    [threshold] = [t.probability for t in calibration.thresholds() if t.task == "cause"]
    words = ["label", str(certified / "new.jsonl"), str(certified / "labeled"), "--workers", "1"]
    assert main([*words, "--model", str(certified / "model")]) == 0
    pairs, withheld, none = [], [], []
    for dialogue in Log([certified / "labeled" / "new.jsonl"]):
        annotation = dialogue.annotation("model")
        assert annotation is not None
        pairs += named_and_right(annotation, dialogue)
        withheld += [x for a in annotation.abstained if a.field.task == "cause" for x in a.best]
        none += [x for x in annotation.labels if x.task == "cause" and x.name == "none"]
    assert all(x.probability >= threshold for x, _ in pairs)
    assert withheld
    assert all(x.name != "none" and x.probability is not None and x.probability < threshold for x in withheld)
    assert any(x.probability is not None and x.probability < threshold for x in none)
    assert sum(not right for _, right in pairs) <= 0.3 * len(pairs)


def test_certificate_says_which_labels_it_does_not_count(certified):
    calibration = read_calibration(certified / "model")
    assert calibration is not None
    [one] = [x for x in calibration.tasks if x.task == "cause"]
    assert one.idle == ("none",)
    assert "cause of a turn, labels other than none: from" in "\n".join(
        certified_lines(calibration, CertifyOptions(model=certified / "model", reference=TRUTH))
    )
    assert "cause, except none" in (certified / "model" / "README.md").read_text()
