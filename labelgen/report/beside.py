"""Candidates beside each other, where no single annotator is there to judge them by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from labelgen.data.labels import EVIDENCE_HIDDEN, ON_GIVEN_GOALS
from labelgen.report.form import Estimate, Question, Row, Tested

Verdict = Tested | Literal["unanswered"]
_CLAUSES: Mapping[Verdict, tuple[str, str]] = {
    "better": ("better than {}", "better"),
    "open": ("with no certain difference from {}", "with no certain difference"),
    "worse": ("worse than {}", "worse"),
}
"""How a verdict is said first, and how after another."""


@dataclass(frozen=True, slots=True)
class Beside:
    """One candidate's main metric in one question. verdict: on it against the first candidate, None for that itself."""

    row: Row
    estimate: Estimate | None
    verdict: Verdict | None


def beside(question: Question, subject: Row | None) -> tuple[Beside, ...]:
    """All candidates of a question in their order; "better" or "worse" only where two intervals do not overlap."""
    found = []
    for row in question.rows:
        own = row.metrics.get(question.main_metric)
        first = subject is None or row is subject
        found.append(Beside(row, own, None if first or subject is None else against(question, row, subject)))
    return tuple(found)


def against(question: Question, row: Row, other: Row) -> Verdict:
    """What the two intervals of the main metric allow to say of `row`; intervals that touch overlap."""
    ours, theirs = row.metrics.get(question.main_metric), other.metrics.get(question.main_metric)
    if ours is None or theirs is None or ours.value is None or theirs.value is None:
        return "alone"
    if ours.low is None or ours.high is None or theirs.low is None or theirs.high is None:
        return "open"
    higher, lower = ours.low > theirs.high, ours.high < theirs.low
    if not higher and not lower:
        return "open"
    return "better" if higher == larger_is_better(question, question.main_metric) else "worse"


def larger_is_better(question: Question, metric: str) -> bool:
    form = question.metrics.get(metric)
    return form is None or form.larger_is_better


def rivals(questions: Sequence[tuple[Question, Row]]) -> tuple[str, ...]:
    """Whom the first candidate is set beside in a sentence: who else was judged in all of its questions, rules only
    where there is nobody else."""
    judged = [
        [row for row in question.rows if against(question, subject, row) != "alone"] for question, subject in questions
    ]
    firsts = {subject.candidate for _, subject in questions}
    names = [row.candidate for row in (judged[0] if judged else []) if row.candidate not in firsts]
    # What a model says when it is told more or less is nobody else's word.
    names = [name for name in names if not name.endswith((ON_GIVEN_GOALS, EVIDENCE_HIDDEN))]
    everywhere = [name for name in names if all(name in {row.candidate for row in rows} for rows in judged)]
    rules = {row.candidate for rows in judged for row in rows if row.kind == "rule"}
    return tuple([name for name in everywhere if name not in rules] or everywhere)


def tally(found: Sequence[tuple[str, Verdict]], other: str) -> str:
    """`better than OTHER in 1 (goals) and worse in 2 (slots; intents)`; found: names of questions with verdicts."""
    parts: list[str] = []
    for kind, (first, later) in _CLAUSES.items():
        those = [name for name, verdict in found if verdict == kind]
        if those:
            parts.append(f"{later if parts else first.format(other)} in {len(those)} ({'; '.join(those)})")
    return " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])}, and {parts[-1]}"
