"""One question of an evaluation: all candidates and the people on the same fields, as plain data."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from labelgen.agreement.vote import CONSENSUS
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import EVIDENCE_HIDDEN, At, AtDialogue, AtGoal, AtSpan, AtTurn
from labelgen.evaluation.apart import apart
from labelgen.evaluation.ceiling import CEILING, no_ceiling
from labelgen.evaluation.compare import answered_share, items_of, measure_all, metric, ratio
from labelgen.evaluation.curves import confusions, precision_coverage, reliability
from labelgen.evaluation.question import Question, answered, concerns
from labelgen.evaluation.trials import SINGLE, Protocol, Setting
from labelgen.evaluation.verdict import comparisons
from labelgen.metrics.metric import Item

_TIES_SHOWN = 20

_ROWS = {SINGLE: "person", CEILING: "ceiling"}
"""Kinds of the rows that are no annotator's."""

Value = TypeVar("Value")


def section(protocol: Protocol, question: Question, candidates: Sequence[str], setting: Setting) -> dict[str, Any]:
    """What an evaluation says of one question. Candidates who have no word on it are left out of it; models come first,
    then people and how far anyone could get, then rules."""
    dialogues = protocol.dialogues
    drawn = protocol.trials(question)
    trials = drawn.trials
    people = [SINGLE] if any(trial.person is not None for trial in trials) else []
    names = [name for name in candidates if _answers(dialogues, name, question)]
    rules = [name for name in names if kind_of(dialogues, name) == "rule"]
    models = [name for name in names if name not in rules]
    order = [*models, *people, *rules]
    items = {name: items_of(trials, dialogues, question, name) for name in order}
    first = [name for name in candidates[:1] if name in items]
    why_none = no_ceiling(trials) if people and setting.against == CONSENSUS else None
    ceiling = people if setting.against == CONSENSUS and why_none is None else []
    if ceiling:
        items[CEILING] = items_of(trials, dialogues, question, CONSENSUS)
    measured = {name: measure_all(question.metrics, items[name], trials, setting) for name in items if trials}
    pairs = [(name, SINGLE) for name in names if people]
    pairs += [(name, name.removesuffix(EVIDENCE_HIDDEN)) for name in names if name.endswith(EVIDENCE_HIDDEN)]
    ratios = [
        ratio(name, over, m, measured[name][m], measured[over][m], setting.level)
        for name, over in pairs
        if over in measured
        for m in question.metrics
    ]
    times = Counter(trial.dialogue for trial in trials)
    shares = [1.0 / times[trial.dialogue] for trial in trials]
    left_out = [{"reason": r, "items": n} for r, n in drawn.left_out.items() if n]
    left_out += [{"reason": r, "dialogues": n} for r, n in drawn.dialogues_left_out.items() if n]
    return {
        "name": question.name,
        "tasks": list(question.tasks),
        "unit": question.unit,
        "main_metric": question.metrics[0],
        "metrics": {
            m: {"larger_is_better": metric(m).larger_is_better, "what": metric(m).what} for m in question.metrics
        },
        "fields": len({(trial.dialogue, at) for trial in trials for at in trial.reference}),
        "items": sum(len(trial.reference) for trial in trials),
        "dialogues": len({trial.dialogue for trial in trials}),
        "rows": [
            {
                "candidate": name,
                "kind": _ROWS.get(name) or kind_of(dialogues, name),
                "answered": answered_share(items[name]),
                "metrics": {m: measured[name][m].estimate() for m in question.metrics},
            }
            for name in (*models, *people, *([CEILING] if ceiling else []), *rules)
            if trials
        ],
        "verdicts": comparisons(models, measured, question, setting.level) if trials else [],
        "ratios": [r for r in ratios if r["value"] is not None],
        "ties": {
            "items": len(drawn.ties),
            "examples": [{"dialogue": d, "at": _plain(at)} for d, at in drawn.ties[:_TIES_SHOWN]],
        },
        "left_out": left_out,
        "no_ceiling": why_none,
        "confusion": _present(confusions(name, items[name], question) for name in order),
        "reliability": _present(reliability(name, items[name], shares) for name in names),
        "precision_coverage": _present(precision_coverage(name, items[name], _of(items, people)) for name in models),
        **apart(
            {name: items[name] for name in (*first, *people)}, first, measured, trials, dialogues, question, setting
        ),
    }


def kind_of(dialogues: Sequence[Dialogue], annotator: str) -> str:
    """The kind of the annotator's first annotation."""
    found = (d.annotation(annotator) for d in dialogues)
    return next((a.kind for a in found if a is not None), "model")


def _answers(dialogues: Sequence[Dialogue], annotator: str, question: Question) -> bool:
    """Whether the annotator answers the question anywhere, or says that it abstains: then the fields are misses."""
    found = (d.annotation(annotator) for d in dialogues)
    return any(
        answered(a, question) or any(concerns(x.field, question) for x in a.abstained) for a in found if a is not None
    )


def _of(items: dict[str, list[Item]], people: Sequence[str]) -> list[Item]:
    return [item for name in people for item in items[name]]


def _present(values: Iterable[Value | None]) -> list[Value]:
    return [value for value in values if value is not None]


def _plain(at: At) -> dict[str, Any]:
    match at:
        case AtTurn(turn) | AtSpan(turn):
            return {"turn": turn}
        case AtGoal(turns):
            return {"turns": list(turns)}
        case AtDialogue():
            return {}
