"""Evaluations for tests: as plain data, from a simulated log, and any that the form allows."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import dialogues

from labelgen.data.dialogue import Dialogue
from labelgen.data.record import to_plain
from labelgen.evaluation import evaluate as evaluation_module
from labelgen.metrics.results import FORM, Evaluation, SystemName
from labelgen.report import page
from labelgen.simulator.log import simulate

words = st.one_of(
    st.text(max_size=12), st.sampled_from(["<script>alert('x')</script>", '"><b onclick="1">', "&amp; {{ 7 }}"])
)
names = words.filter(bool)
shares = st.floats(0, 1)
values = st.one_of(st.none(), st.floats(-3, 30))
counts = st.integers(0, 10**6)


def optional(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), of)


baselines = st.fixed_dictionaries(
    {
        **dict.fromkeys(("dialogues", "turns", "of_dialogues", "of_turns"), counts),
        "tasks": st.dictionaries(names, st.fixed_dictionaries({"answers": counts}), max_size=2),
        "goals_from": optional(names),
    }
)

verdicts = st.sampled_from(
    ["better", "no_baselines", "ahead", "feedback_dependent", "indistinguishable", "worse", "not_compared"]
)
comparisons = st.fixed_dictionaries(
    {
        **dict.fromkeys(("value", "low", "high"), values),
        **dict.fromkeys(("p_value", "p_adjusted"), optional(shares)),
        "opponent": names,
        "kind": st.sampled_from(["human", "baseline"]),
        "significant": st.booleans(),
    }
)

estimates = st.fixed_dictionaries(
    {"value": values, "low": values, "high": values, "items": counts, "dialogues": counts}
)

tests = st.fixed_dictionaries({"rest": values, "p_value": optional(shares), "p_adjusted": optional(shares)})


@st.composite
def confusions(draw: st.DrawFn) -> dict[str, Any]:
    labels = draw(st.lists(names, max_size=3))
    columns = [*labels, "absent"]
    return {
        "system": draw(names),
        "labels": labels,
        "columns": columns,
        "counts": [[draw(counts) for _ in columns] for _ in labels],
    }


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    metrics = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    systems = draw(st.lists(names, max_size=3, unique=True))
    kinds = st.sampled_from(["model", "human", "rule"])
    some = st.sampled_from(systems) if systems else names
    bins = st.fixed_dictionaries(
        {"low": shares, "high": shares, "items": counts, "probability": optional(shares), "accuracy": optional(shares)}
    )
    points = st.fixed_dictionaries(
        {"threshold": optional(shares), "coverage": optional(shares), "precision": optional(shares), "items": counts}
    )
    return {
        "name": draw(names),
        "tasks": [draw(names)],
        "unit": draw(st.sampled_from(["turn", "span", "goal", "dialogue"])),
        "main_metric": metrics[0],
        "metrics": {m: {"larger_is_better": draw(st.booleans()), "description": draw(words)} for m in metrics},
        "items": draw(counts),
        "dialogues": draw(counts),
        "rows": [
            {
                "system": c,
                "kind": draw(kinds),
                "answered": draw(optional(shares)),
                "metrics": {m: draw(estimates) for m in draw(st.sets(st.sampled_from(metrics)))},
            }
            for c in systems
        ],
        "ratios": [
            {"system": draw(some), "opponent": draw(some), "metric": metrics[0], **r, "difference": draw(estimates)}
            for r in draw(st.lists(estimates, max_size=2))
        ],
        "verdicts": [
            {
                "system": draw(some),
                "verdict": draw(verdicts),
                "p_adjusted": draw(optional(shares)),
                "comparisons": draw(st.lists(comparisons, max_size=3)),
                "beaten_by": draw(st.lists(names, max_size=2)),
            }
            for _ in range(draw(st.integers(0, 2)))
        ],
        "ties": draw(counts),
        "left_out": [{"reason": draw(words), "items": 3}, {"reason": draw(words), "dialogues": 2}],
        "confusion": draw(st.lists(confusions(), max_size=2)),
        "reliability": [
            {"system": draw(some), "ece": draw(values), "bins": b}
            for b in draw(st.lists(st.lists(bins, max_size=3), max_size=2))
        ],
        "precision_coverage": [
            {"system": draw(some), "without_probability": 1, "human_precision": draw(optional(shares)), "points": p}
            for p in draw(st.lists(st.lists(points, max_size=3), max_size=2))
        ],
        "slices": [
            {"by": draw(words), "name": draw(words), "system": draw(some), "metric": metrics[0], **draw(tests), **e}
            for e in draw(st.lists(estimates, max_size=3))
        ],
    }


@st.composite
def costs(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "system": draw(names),
        "kind": draw(st.sampled_from(["model", "llm", "human", "rule"])),
        "answered": draw(optional(shares)),
        "agreement": draw(optional(shares)),
        "accepted": draw(st.floats(0, 1e6)),
        "priced_dialogues": draw(counts),
        "price": draw(optional(st.floats(0, 1e6))),
        "price_per_accepted": draw(optional(st.floats(0, 1e3))),
    }


@st.composite
def evaluations(draw: st.DrawFn) -> dict[str, Any]:
    """Any evaluation: texts that would be markup, numbers that are not defined, systems without rows."""
    return {
        "form": FORM,
        "title": draw(words),
        "command": draw(words),
        "versions": {draw(words): draw(words)},
        "setting": {
            "reference": draw(words),
            "annotators": draw(optional(st.lists(words, max_size=2))),
            "seed": 0,
            "resamples": 1000,
            "level": 0.95,
        },
        "protocol": draw(words),
        "systems": named(*draw(st.lists(names, max_size=2))),
        "data": {
            "paths": [draw(words)],
            "digest": draw(optional(words)),
            "dialogues": draw(counts),
            "turns": draw(counts),
            "sources": {draw(words): draw(counts)},
            "split": draw(optional(words)),
            "with_feedback": draw(optional(counts)),
            "left_out": [{"reason": draw(words), "dialogues": draw(counts)}],
        },
        "baselines": draw(optional(baselines)),
        "model": {draw(words): draw(st.one_of(words, values, st.dictionaries(words, values, max_size=2)))},
        "slices_tested": draw(optional(counts)),
        "tasks": draw(st.lists(tasks(), max_size=2)),
        "costs": draw(st.lists(costs(), max_size=2)),
        "examples": [
            {
                "errors": draw(counts),
                "errors_by_task": {draw(words): draw(counts)},
                "system": "model",
                "reference": "consensus",
                "record": to_plain(d),
            }
            for d in draw(st.lists(dialogues(), max_size=2))
        ],
    }


def estimate(value: float, half: float = 0.02) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "items": 120, "dialogues": 40}


def verdict_of(
    system: str, verdict: str, *baselines: str, human: bool = True, beaten_by: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The verdict of a system that was compared with a human baseline and these baselines."""
    opponents = [("human baseline", "human")] * human + [(baseline, "baseline") for baseline in baselines]
    comparisons = [
        {"opponent": name, "kind": kind, "value": 0.05, "p_value": 0.01, "significant": name in beaten_by}
        for name, kind in opponents
    ]
    return {"system": system, "verdict": verdict, "comparisons": comparisons, "beaten_by": list(beaten_by)}


def task(
    name: str, difference: tuple[float, float] | None, larger: bool = True, *verdicts: dict[str, Any]
) -> dict[str, Any]:
    """A task with a model, a human baseline and a baseline; difference: the interval, None for no human baseline; verdicts: of systems."""
    rows = [("model", "model", 0.8), ("human baseline", "human", 0.75), ("baseline", "rule", 0.3)]
    ratio = {
        "system": "model",
        "opponent": "human baseline",
        "metric": "score",
        "value": 1.0625,
        "low": 1.0,
        "high": 1.1,
    }
    return {
        "name": name,
        "tasks": [name],
        "unit": "turn",
        "main_metric": "score",
        "metrics": {"score": {"larger_is_better": larger, "description": "share right"}},
        "items": 120,
        "dialogues": 40,
        "rows": [
            {"system": c, "kind": kind, "answered": 1.0, "metrics": {"score": estimate(v)}}
            for c, kind, v in rows
            if difference is not None or kind != "human"
        ],
        "ratios": []
        if difference is None
        else [{**ratio, "difference": {"value": sum(difference) / 2, "low": difference[0], "high": difference[1]}}],
        "verdicts": list(verdicts),
    }


def evaluation(*tasks: dict[str, Any], examples: tuple[Dialogue, ...] = ()) -> dict[str, Any]:
    return {
        "form": FORM,
        "title": "Evaluation of model",
        "setting": {"reference": "truth", "level": 0.95},
        "systems": named("model"),
        "tasks": list(tasks),
        "examples": [
            {"errors": 1, "errors_by_task": {}, "system": "model", "reference": "truth", "record": to_plain(d)}
            for d in examples
        ],
    }


def labeled(count: int, seed: int) -> tuple[Dialogue, ...]:
    """Simulated dialogues; their first annotator plays the model."""
    out = []
    for dialogue in simulate(count, seed):
        person = next((a for a in dialogue.annotations if a.kind == "person"), None)
        model = () if person is None else (replace(person, annotator="model", kind="model"),)
        out.append(replace(dialogue, annotations=(*dialogue.annotations, *model)))
    return tuple(out)


def plain(result: Any) -> Any:
    """A result as plain data."""
    return msgspec.to_builtins(result)


def named(*systems: str) -> list[dict[str, str]]:
    """Systems that are plain data."""
    return [{"base": name} for name in systems]


def evaluate(
    dialogues: Sequence[Dialogue], tasks: Any, systems: Iterable[str | SystemName], *more: Any
) -> dict[str, Any]:
    """labelgen.evaluation.evaluate.evaluate, its result as plain data."""
    typed = [SystemName(one) if isinstance(one, str) else one for one in systems]
    found: dict[str, Any] = plain(evaluation_module.evaluate(dialogues, tasks, typed, *more))
    return found


def render(evaluation: dict[str, Any]) -> str:
    """The page of an evaluation that is plain data."""
    return page.render(msgspec.convert(evaluation, Evaluation))


def answer(evaluation: dict[str, Any]) -> str:
    """The answer in sentences of an evaluation that is plain data."""
    return page.answer(msgspec.convert(evaluation, Evaluation))
