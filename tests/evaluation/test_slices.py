"""Parts of a log judged apart: which fields are in them, what is told from chance, and what a search finds."""

import json
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_evaluations import evaluate

from labelgen.base.registry import resolve
from labelgen.cli.main import main
from labelgen.confidence.resampling import holm
from labelgen.data.dialogue import Category, Dialogue, Number, Turn
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.data.log import write_log
from labelgen.evaluation.evaluate import Description
from labelgen.evaluation.measure import items_of
from labelgen.evaluation.protocol import Protocol
from labelgen.evaluation.slices import OTHER, slices, value_of
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item
from labelgen.metrics.results import Setting
from labelgen.simulator.log import simulate
from labelgen.tasks.evaluation import evaluation_tasks, tasks_of_units

(QUALITY,) = tasks_of_units("quality", ("turn",), ("accuracy",), ("bad", "good"))
ACCENTS, SCREENS, LEVELS = ("north", "south", "east", "west"), ("yes", "no"), 8


def world(seed, count, wrong, turns=4):
    """A log in which the model errs with a chance that `wrong` gives, of accent and screen."""
    rng = random.Random(seed)
    for k in range(count):
        accent, device = rng.choice(ACCENTS), rng.choice(("car", "phone", "watch"))
        made, gold, said = [], [], []
        for t in range(turns):
            screen = rng.choice(SCREENS)
            made.append(
                Turn(
                    request="a",
                    response="b",
                    categories=(Category(name="screen", value=screen),),
                    numbers=(Number(name="volume", value=float(rng.randrange(LEVELS))),),
                    extra=json.dumps({"accent": accent}),
                )
            )
            truth, slip = rng.choice(("bad", "good")), rng.random() < wrong(accent, screen)
            gold.append(Label("quality", AtTurn(t), truth))
            name, other = (truth, {"bad": "good", "good": "bad"}[truth])[:: -1 if slip else 1]
            p = rng.uniform(0.5, 1)
            held = {"bad": 0.0, "fair": 0.0, "good": 0.0} | {name: p, other: 1 - p}
            said.append(Label("quality", AtTurn(t), name, p, distribution=tuple(held.items())))
        yield Dialogue(
            id=f"{seed}-{k}",
            turns=tuple(made),
            device=device,
            annotations=(Annotation("gold", "truth", tuple(gold)), Annotation("net", "model", tuple(said))),
        )


def judged(dialogues, *by, resamples=50):
    setting = Setting("gold", annotators=None, resamples=resamples, slices=by)
    return evaluate(list(dialogues), [QUALITY], ["net"], setting, Description("t"))


def fields_of(dialogues):
    return [(d, AtTurn(t), d.annotations[1].labels[t : t + 1]) for d in dialogues for t in range(len(d.turns))]


@pytest.mark.parametrize("by", ["accent", "screen", "volume", "probability", "device", "length"])
def test_the_slices_of_a_field_share_no_answer_and_hold_all_that_have_it(by):
    fields = fields_of(world(0, 40, lambda *_: 0.3))
    found = slices(fields, by, "gold")
    places = sorted(k for own in found.values() for k in own.tolist())
    assert places == ([] if by == "length" else list(range(len(fields))))
    for name, own in found.items():
        if by not in ("volume", "probability"):
            assert {value_of(fields[k][0], by, "gold", fields[k][1]) for k in own} == {name}
    if by in ("volume", "probability"):
        read = [value_of(d, by, "gold", at, said) for d, at, said in fields]
        values = {name: [float(read[k] or 0.0) for k in own] for name, own in found.items()}
        ends = sorted((min(v), max(v)) for v in values.values())
        assert len(ends) == 4
        assert all(a[1] < b[0] for a, b in pairwise(ends))


def test_slices_join_what_is_too_small_and_say_nothing_where_all_is_one():
    turn = (Turn(request="a", response=""),)
    given = [Dialogue(id=str(k), turns=turn, device="phone" if k < 6 else f"odd{k}", source="s") for k in range(11)]

    def found(dialogues, by):
        parts = slices([(d, AtTurn(0), ()) for d in dialogues], by, "gold")
        return {name: {dialogues[k].id for k in own} for name, own in parts.items()}

    assert found(given, "device") == {OTHER: {"6", "7", "8", "9", "10"}, "phone": set("012345")}
    assert found(given[:10], "device") == {}
    assert found(given, "source") == {}


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_its_definition_rejects(p_values, level):
    """Rejected while the k-th smallest of m is at most level / (m - k)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected = set()
    for k, place in enumerate(order):
        if p_values[place] * (len(order) - k) > level:
            break
        rejected.add(place)
    assert {k for k, p in enumerate(holm(p_values)) if p <= level} == rejected


def test_where_no_part_is_worse_one_is_rarely_called_so():
    """30 worlds without a weak part, some 20 tests each: at 5% one or two are expected to have a wrong call, and seven or more
    with a chance of one in a thousand."""
    wrong = 0
    for seed in range(30):
        found = judged(world(seed, 40, lambda *_: 0.2), "accent", "screen", "volume", "probability")
        assert found["slices_tested"] >= 13
        wrong += any(s["p_adjusted"] is not None and s["p_adjusted"] <= 0.05 for s in found["tasks"][0]["slices"])
    assert wrong < 7


def test_every_metric_adds_fields_up():
    """Rows of single fields give what rows of whole dialogues give: so any part can be valued from them."""
    dialogues = list(simulate(12, 3))
    people = [a.annotator for a in dialogues[0].annotations if a.kind == "person"]
    questions = evaluation_tasks({"frame_accuracy": ("intents", "slots")})
    seen = set()
    for question in questions:
        trials = Protocol(dialogues, questions, Setting("truth", annotators=None)).judgments(question).all
        items = items_of(trials, dialogues, question, people[0])
        alone = [Item(i.requests, {at: labels}, i.predicted) for i in items for at, labels in i.reference.items()]
        for name in question.metrics:
            metric = resolve(METRICS, name, "metric")
            whole, single = (
                metric.value([metric.tally(x) for x in own], np.ones((1, len(own))))[0] for own in (items, alone)
            )
            assert single == pytest.approx(whole, nan_ok=True), name
            seen.add(name)
    assert seen == set(METRICS)


def test_the_command_takes_any_field(tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    write_log(log, world(2, 160, lambda accent, _: 0.8 if accent == "south" else 0.1))
    words = ["evaluate", str(log), "--reference", "gold", "--task", "quality", "--resamples", "50"]
    more = ["--slice", "accent", "--slice", "probability"]
    assert main([*words, *more, "--out", str(tmp_path / "e")]) == 0
    found = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    by = {s["by"] for task in found["tasks"] for s in task["slices"]}
    assert by == {"accent", "device", "probability"}
    (task,) = found["tasks"]
    assert [s["name"] for s in task["slices"] if s["p_adjusted"] is not None and s["p_adjusted"] <= 0.05] == ["south"]
    capsys.readouterr()
    assert main([*words, "--slice", "acent", "--out", str(tmp_path / "no")]) == 2
    assert "did you mean 'accent'" in capsys.readouterr().err
