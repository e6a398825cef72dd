"""Verdicts: when a candidate is better than one annotator and the baselines, and when it is not."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_evaluations import answer, evaluate

from labelgen.confidence.resampling import two_sided
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.evaluation.evaluate import Description, systems_of
from labelgen.evaluation.measure import decide, opponents
from labelgen.metrics.results import Evaluation, Setting, SystemName, TaskResult
from labelgen.report.page import caveats
from labelgen.report.page import tested as shown_verdict
from labelgen.tasks.evaluation import evaluation_tasks, tasks_of_units

(QUALITY,) = tasks_of_units("quality", ("turn",), ("macro_f1", "accuracy"), ("bad", "fair", "good"))
GOLD = Setting("gold", resamples=400)
BAG, CONSTANT, MAJORITY = (f"baseline: {name}" for name in ("bag of words", "constant per source", "majority class"))


def log(rates: Mapping[tuple[str, str], float], seed: int = 0, dialogues: int = 150) -> list[Dialogue]:
    """Turns of which a quarter are bad; (name, kind) -> how often an annotator is right, 0 for one who says good always."""
    rng = random.Random(seed)
    out = []
    for k in range(dialogues):
        true = ["bad" if rng.random() < 0.25 else "good" for _ in range(3)]
        said = {("gold", "truth"): true}
        for who, rate in rates.items():
            said[who] = [
                "good" if not rate else name if rng.random() < rate else {"bad": "good", "good": "bad"}[name]
                for name in true
            ]
        annotations = tuple(
            Annotation(name, kind, tuple(Label("quality", AtTurn(t), x) for t, x in enumerate(names)))
            for (name, kind), names in said.items()
        )
        out.append(Dialogue(id=f"d{k}", turns=(Turn(request="x", response="y"),) * 3, annotations=annotations))
    return out


def judge(rates: Mapping[tuple[str, str], float], setting: Setting = GOLD) -> dict[str, Any]:
    made = log(rates)
    systems = systems_of(made, setting, [SystemName("model", masked=True)])
    return evaluate(made, (QUALITY,), systems, setting, Description("t"))


def said_of(found: Mapping[str, Any], candidate: str = "model") -> dict[str, Any]:
    (one,) = (x for x in found["tasks"][0]["verdicts"] if x["system"] == candidate)
    return dict(one)


def sentence(found: dict[str, Any]) -> str:
    return answer(found)


PERSON = {("ann", "person"): 0.8}
MODEL = ("model", "model")


def test_better_than_the_annotator_and_all_baselines_is_better() -> None:
    found = judge({MODEL: 0.97, **PERSON, (BAG, "rule"): 0.8, (CONSTANT, "rule"): 0, (MAJORITY, "rule"): 0})
    one = said_of(found)
    assert one["verdict"] == "better"
    assert [x["opponent"] for x in one["comparisons"]] == ["human baseline", BAG, CONSTANT]
    assert sentence(found) == "Of 1 task, model is better than one annotator and the baselines in 1 (quality)."


@pytest.mark.parametrize("rival", [BAG, CONSTANT])
def test_better_than_the_annotator_but_not_than_one_baseline_is_not_better(rival: str) -> None:
    """The other rival is beaten by far; the model is no better than this one."""
    rates = {MODEL: 0.97, **PERSON, (BAG, "rule"): 0.7, (CONSTANT, "rule"): 0.7} | {(rival, "rule"): 0.97}
    found = judge(rates)
    assert said_of(found)["verdict"] == "ahead"
    assert sentence(found).startswith(
        "Of 1 task, model is ahead of one annotator but not significantly of the baselines in 1 (quality)."
    )


def test_a_baseline_that_is_certainly_ahead_is_named() -> None:
    found = judge({MODEL: 0.9, **PERSON, (BAG, "rule"): 0.99, (CONSTANT, "rule"): 0})
    one = said_of(found)
    assert (one["verdict"], one["beaten_by"]) == ("ahead", [BAG])
    assert sentence(found).endswith("It is significantly behind a baseline in 1 (quality: bag of words).")


@pytest.mark.parametrize(
    ("rate", "expected", "words"),
    [
        (0.97, "better", "better than the baselines"),
        (0.7, "worse", "worse than a baseline"),
        (0.85, "indistinguishable", "indistinguishable from the baselines"),
    ],
)
def test_where_nobody_is_judged_baselines_are(rate: float, expected: str, words: str) -> None:
    setting = Setting("gold", annotators=None, resamples=400)
    found = judge({MODEL: rate, (BAG, "rule"): 0.85, (CONSTANT, "rule"): 0}, setting)
    assert said_of(found)["verdict"] == expected
    assert words in sentence(found)


@pytest.mark.parametrize("rivals", [{}, {(BAG, "rule"): 0.7, (CONSTANT, "rule"): 0}])
def test_who_is_worse_with_feedback_masked_is_not_called_better(rivals: dict[tuple[str, str], float]) -> None:
    hidden = ("model, feedback masked", "model")
    found = judge({MODEL: 0.97, hidden: 0.6, **PERSON, **rivals})
    assert said_of(found)["verdict"] == "feedback_dependent"
    assert said_of(found, hidden[0])["verdict"] == "worse"
    said = sentence(found)
    assert "better" not in said
    assert "ahead of one annotator only with the users' feedback in view in 1 (quality)." in said
    assert said.endswith("With feedback masked it is worse than one annotator in 1 (quality).")
    # What stays right without the evidence is better with it and without it.
    stays = judge({MODEL: 0.97, hidden: 0.96, **PERSON, **rivals})
    expected = "better" if rivals else "no_baselines"
    assert [said_of(stays, name)["verdict"] for name in ("model", hidden[0])] == [expected, expected]


def ahead_of(*p_values: float, rival: float = 0.001) -> list[TaskResult]:
    """Tasks in which a model is ahead of a person with these p-values, and of a rival."""
    plain = [
        {
            "name": "quality",
            "unit": "turn",
            "main_metric": "macro_f1",
            "verdicts": [
                {
                    "system": "model",
                    "comparisons": [
                        {"opponent": "human baseline", "kind": "human", "value": 0.1, "p_value": p},
                        {"opponent": BAG, "kind": "baseline", "value": 0.1, "p_value": rival},
                    ],
                }
            ],
        }
        for p in p_values
    ]
    return msgspec.convert(plain, list[TaskResult])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1, 60))
def test_better_is_said_just_where_holm_rejects_the_largest_p_value(thousandths: list[int], rival: int) -> None:
    """By the definition: from the least p-value on, each is held against the level divided by how many are left."""
    tasks = ahead_of(*(k / 1000 for k in thousandths), rival=rival / 1000)
    decide(tasks, [SystemName("model")], 0.95)
    largest = [max(k, rival) / 1000 for k in thousandths]
    rejected = set()
    for step, k in enumerate(sorted(range(len(largest)), key=lambda k: largest[k])):
        if largest[k] * (len(largest) - step) > 0.05 + 1e-12:
            break
        rejected.add(k)
    said = [task.verdicts[0].verdict for task in tasks]
    assert {k for k, word in enumerate(said) if word == "better"} == rejected


@given(st.lists(st.floats(-1, 1) | st.just(0.0) | st.just(float("nan")), max_size=30))
def test_a_p_value_is_twice_the_share_of_resamples_on_the_rarer_side(draws: list[float]) -> None:
    known = [x for x in draws if x == x]
    found = two_sided(np.array(draws))
    if not known:
        assert found is None
    else:
        sides = [sum(1 for x in known if x <= 0) + 1, sum(1 for x in known if x >= 0) + 1]
        assert found == pytest.approx(min(1.0, 2 * min(sides) / (len(known) + 1)))


def test_baselines_are_those_that_were_told_as_much_of_the_goals() -> None:
    rules = [SystemName(name, given) for name in (BAG, CONSTANT, MAJORITY) for given in (False, True)]
    assert opponents(SystemName("model"), rules) == [BAG, CONSTANT]
    assert opponents(SystemName("model", True), rules) == [str(SystemName(name, True)) for name in (BAG, CONSTANT)]
    assert opponents(SystemName("model"), [SystemName(MAJORITY)]) == [MAJORITY]


def test_main_metrics_of_tasks_with_one_name_are_not_won_by_a_constant_and_stand_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    table = document[document.index("## Main metrics") : document.index("## All metrics")]
    for question in evaluation_tasks():
        if question.names is not None:
            assert question.metrics[0] == "macro_f1", question.name
        assert any(question.tasks[0] in line and f"`{question.metrics[0]}`" in line for line in table.splitlines()), (
            question.name
        )


@pytest.mark.parametrize(("dialogues", "told"), [(9, False), (10, True)])
def test_few_answers_of_users_have_no_interval_and_no_verdict(dialogues: int, told: bool) -> None:
    made = log({MODEL: 0.9, (BAG, "rule"): 0.2, ("user", "user"): 1.0}, dialogues=dialogues)
    setting = Setting("user", annotators=None, resamples=200)
    found = evaluate(made, (QUALITY,), systems_of(made, setting, []), setting, Description("t"))
    rows = [row["metrics"]["macro_f1"] for row in found["tasks"][0]["rows"]]
    assert all((row["low"] is not None) == told and row["value"] is not None for row in rows)
    assert (said_of(found)["verdict"] == "not_compared") == (not told)
    shown = msgspec.convert(found, Evaluation)
    assert any("too few to tell" in text for text in caveats(shown)) == (not told)
    page = shown_verdict(shown.tasks[0], MODEL[0], None)
    assert page is not None
    assert (page.of_baseline(BAG) is None) == (not told)


@pytest.mark.parametrize("right", [1.0, 0.9])
def test_words_that_tell_the_answer_are_named_as_a_likely_leak(right: float) -> None:
    found = judge({MODEL: 0.9, **PERSON, (BAG, "rule"): right})
    assert any("look for a leak" in text for text in caveats(msgspec.convert(found, Evaluation))) == (right == 1.0)
