"""Verdicts and caveats in words: the headline of a report, its badges, and what limits its figures."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from labelgen.confidence.weakness import LEAST_ANSWERS
from labelgen.feedback.signal import USER
from labelgen.metrics.results import BASELINE, Estimate, Evaluation, SystemRow, TaskResult, Verdict, VerdictName
from labelgen.report.plots import count

NO_BASELINES = "no baselines: give --train"

ShownVerdict = VerdictName | Literal["unanswered"]

BADGES: Mapping[ShownVerdict, str] = {
    "better": "better",
    "no_baselines": "better than one annotator",
    "ahead": "ahead of one annotator",
    "feedback_dependent": "only with feedback in view",
    "worse": "worse",
    "indistinguishable": "indistinguishable",
    "not_compared": "not compared",
    "unanswered": "not answered by this model",
}

Wording = Mapping[ShownVerdict, tuple[str, str]]
"""Verdict -> its words, and shorter ones after another verdict of the same wording, where there are any."""

_TO_HUMAN: Wording = {
    "better": ("better than one annotator and the baselines", ""),
    "no_baselines": ("better than one annotator (not compared with baselines)", ""),
    "ahead": ("ahead of one annotator but not significantly of the baselines", ""),
    "feedback_dependent": ("ahead of one annotator only with the users' feedback in view", ""),
    "indistinguishable": ("indistinguishable from one annotator", "indistinguishable"),
    "worse": ("worse than one annotator", "worse"),
}
_TO_BASELINES: Wording = {
    "better": ("better than the baselines", ""),
    "feedback_dependent": ("ahead of the baselines only with the users' feedback in view", ""),
    "indistinguishable": ("indistinguishable from the baselines", "indistinguishable"),
    "worse": ("worse than a baseline", ""),
}


def _to_system(other: str) -> Wording:
    return {
        "better": (f"better than {other}", "better"),
        "indistinguishable": (f"indistinguishable from {other}", "indistinguishable"),
        "worse": (f"worse than {other}", "worse"),
    }


def clauses(verdicts: Iterable[tuple[str, ShownVerdict]], wording: Wording) -> list[str]:
    """`better than one annotator in 1 (quality)`, one for each verdict; verdicts: (task, verdict)."""
    known = list(verdicts)
    parts: list[str] = []
    for verdict, (words, short) in wording.items():
        tasks = [task for task, one in known if one == verdict]
        if tasks:
            parts.append(f"{short if parts and short else words} in {len(tasks)} ({'; '.join(tasks)})")
    return parts


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _tasks(number: int) -> str:
    return f"{number} task{'' if number == 1 else 's'}"


def _short_names(baselines: Sequence[str]) -> str:
    return " and ".join(name.removeprefix(BASELINE) for name in baselines)


@dataclass(frozen=True, slots=True)
class TestedSystem:
    """The verdict of a system on one task, and of the same system with feedback masked, None where nothing was masked."""

    verdict: Verdict
    masked: Verdict | None

    @property
    def human(self) -> bool:
        """Whether the system was compared with the human baseline."""
        return any(x.kind == "human" for x in self.verdict.comparisons)

    @property
    def notes(self) -> list[str]:
        """The lines below the badge."""
        notes = []
        if self.verdict.verdict == "no_baselines":
            notes.append("not compared with baselines")
        if self.verdict.verdict == "ahead":
            notes.append("not significantly of the baselines")
        if self.verdict.verdict == "better" and not self.human:
            notes.append("than the baselines")
        if self.verdict.beaten_by:
            notes.append(f"behind {_short_names(self.verdict.beaten_by)}")
        if self.masked is not None:
            notes.append(f"feedback masked: {BADGES[self.masked.verdict]}")
        return notes

    def of_baseline(self, name: str) -> ShownVerdict | None:
        """The verdict of a baseline against the system; None where it is no baseline."""
        for x in self.verdict.comparisons:
            if x.opponent == name and x.kind == "baseline":
                return "better" if name in self.verdict.beaten_by else "worse" if x.significant else "indistinguishable"
        return None


def tested(task: TaskResult, system: str | None, masked: str | None) -> TestedSystem | None:
    """The verdict of a system; None where nothing was tested. masked: name of the system with feedback masked."""
    of = {one.system: one for one in task.verdicts}
    if system is None or system not in of:
        return None
    return TestedSystem(of[system], None if masked is None else of.get(masked))


def headline(system: str, verdicts: Sequence[tuple[str, TestedSystem]]) -> str:
    """The answer in sentences; verdicts: of each task, none of them "not_compared"."""

    def words(rows: Sequence[tuple[str, bool, Verdict]]) -> str:
        parts = [
            clause
            for human, wording in ((True, _TO_HUMAN), (False, _TO_BASELINES))
            for clause in clauses(((task, one.verdict) for task, to_human, one in rows if to_human == human), wording)
        ]
        return _joined(parts)

    sentences = [f"Of {_tasks(len(verdicts))}, {system} is {words([(t, x.human, x.verdict) for t, x in verdicts])}."]
    behind = [f"{task}: {_short_names(x.verdict.beaten_by)}" for task, x in verdicts if x.verdict.beaten_by]
    if behind:
        sentences.append(f"It is significantly behind a baseline in {len(behind)} ({'; '.join(behind)}).")
    masked = [
        (task, x.human, x.masked) for task, x in verdicts if x.masked is not None and x.masked.verdict != "not_compared"
    ]
    if masked:
        sentences.append(f"With feedback masked it is {words(masked)}.")
    return " ".join(sentences)


def answer(evaluation: Evaluation) -> str:
    """The answer of an evaluation in sentences, by its verdicts."""
    shown = [(task, subject_of(evaluation, task)) for task in evaluation.tasks]
    unanswered = [task.name for task, row in shown if row is None and task.rows]
    left = f"Not answered by this model: {len(unanswered)} ({'; '.join(unanswered)})." if unanswered else ""
    judged = [(task, row) for task, row in shown if row is not None and value_of(task, row) is not None]
    if not judged:
        return left or "Nothing could be judged."
    name = judged[0][1].system
    compared = [
        (task.name, one)
        for task, row in judged
        if (one := tested(task, row.system, evaluation.masked(row.system))) is not None
        and one.verdict.verdict != "not_compared"
    ]
    sentences = [headline(name, compared)] if compared else []
    if not any(one.human for _, one in compared):
        sentences += _against_others(evaluation, judged)
    rest = len(judged) - len(compared)
    if compared and rest:
        sentences.append(f"In {rest} more there is nothing to compare with.")
    return f"{' '.join(sentences) or f'There is nothing to compare {name} with.'} {left}".rstrip()


def _against_others(evaluation: Evaluation, judged: Sequence[tuple[TaskResult, SystemRow]]) -> list[str]:
    """A sentence on the other systems, baselines that were tested excepted, by whether intervals overlap; none where there are none."""
    name = judged[0][1].system
    people = {row.system for task, _ in judged for row in task.rows if row.kind in ("human", "person")}
    variants = {str(x) for x in evaluation.systems if x.on_given_goals or x.masked}
    others = [
        other for other in other_systems(judged, variants) if not other.startswith(BASELINE) and other not in people
    ]
    if not others:
        return []
    parts = []
    for other in others:
        verdicts = [(t.name, against(t, s, row)) for t, s in judged if (row := t.row(other)) is not None]
        parts.append(_joined(clauses(verdicts, _to_system(other))))
    return [f"Of {_tasks(len(judged))}, {name} is {'; '.join(parts)}."]


def other_systems(judged: Sequence[tuple[TaskResult, SystemRow]], variants: Collection[str] = ()) -> tuple[str, ...]:
    """The systems that a sentence compares the first one with: those that were judged in all of its tasks, rules only without any other.
    variants: systems that annotated once more, which are no others."""
    rows = [[row for row in task.rows if against(task, subject, row) != "not_compared"] for task, subject in judged]
    first = {subject.system for _, subject in judged}
    names = [row.system for row in (rows[0] if rows else []) if row.system not in first and row.system not in variants]
    everywhere = [name for name in names if all(name in {row.system for row in judged_rows} for judged_rows in rows)]
    rules = {row.system for task_rows in rows for row in task_rows if row.kind == "rule"}
    return tuple([name for name in everywhere if name not in rules] or everywhere)


def subject_of(evaluation: Evaluation, task: TaskResult) -> SystemRow | None:
    """The row of the first system; None where it does not answer the task. The first row where no system is named."""
    names = evaluation.systems
    return next((row for row in task.rows if not names or row.system == str(names[0])), None)


def value_of(task: TaskResult, row: SystemRow) -> float | None:
    """The main metric of a row."""
    estimate = row.metrics.get(task.main_metric)
    return None if estimate is None else estimate.value


@dataclass(frozen=True, slots=True)
class SideBySideRow:
    """One system's main metric on one task. verdict: on it against the first system, None for that itself."""

    row: SystemRow
    estimate: Estimate | None
    verdict: ShownVerdict | None


def side_by_side(task: TaskResult, subject: SystemRow | None) -> tuple[SideBySideRow, ...]:
    """All systems in their order, against the first one; baselines by their tests, others by whether intervals overlap."""
    tests = tested(task, None if subject is None else subject.system, None)
    rows = []
    for row in task.rows:
        verdict = None if subject is None or row is subject else against(task, row, subject)
        verdict = (tests and tests.of_baseline(row.system)) or verdict
        rows.append(SideBySideRow(row, row.metrics.get(task.main_metric), verdict))
    return tuple(rows)


def against(task: TaskResult, row: SystemRow, other: SystemRow) -> ShownVerdict:
    """Better or worse where the intervals of the main metric do not overlap; intervals that touch overlap."""
    ours, theirs = row.metrics.get(task.main_metric), other.metrics.get(task.main_metric)
    if ours is None or theirs is None or ours.value is None or theirs.value is None:
        return "not_compared"
    if ours.low is None or ours.high is None or theirs.low is None or theirs.high is None:
        return "indistinguishable"
    higher, lower = ours.low > theirs.high, ours.high < theirs.low
    if not higher and not lower:
        return "indistinguishable"
    return "better" if higher == larger_is_better(task) else "worse"


def larger_is_better(task: TaskResult) -> bool:
    """Of the main metric."""
    info = task.metrics.get(task.main_metric)
    return info is None or info.larger_is_better


_LEAK = 0.97
"""Macro F1 of a bag of words above which words are likely to tell the answer."""
BAG_OF_WORDS = BASELINE + "bag of words"


def caveats(evaluation: Evaluation) -> tuple[str, ...]:
    """What limits the figures, the gravest first: dialogues of training, labels of a part only, samples that were not drawn by chance."""
    data = evaluation.data
    judged = count(data.judged)
    sentences = [
        f"{row.system} was trained on {count(row.trained_on)} of the {judged} judged dialogues, so its figures are too good: judge it on "
        "dialogues that are new to it."
        for row in data.annotated
        if row.trained_on
    ]
    sentences += [
        f"{row.system} annotated {count(row.dialogues)} of the {judged} judged dialogues; all others count as not answered."
        for row in data.annotated
        if row.dialogues < data.judged
    ]
    if drawn := sum(data.drawn_for_difficulty.values()):
        how = ", ".join(f"{how} {count(number)}" for how, number in data.drawn_for_difficulty.items())
        sentences.append(
            f"{count(drawn)} of the {judged} judged dialogues were drawn because they are difficult ({how}), so the figures do not hold for "
            "the whole log."
        )
    sentences += [
        f"{task.name}: {count(task.items)} answers of users are too few to tell how good anything is, so there is no interval and no "
        f"verdict; {LEAST_ANSWERS} would do."
        for task in evaluation.tasks
        if evaluation.setting.reference == USER and 0 < task.items < LEAST_ANSWERS
    ]
    sentences += [
        f"{task.name}: a bag of words alone has {known.value:.2f}, so some words may tell the answer, such as payloads of buttons or a "
        "comment that repeats it: look for a leak."
        for task in evaluation.tasks
        for row in task.rows
        if row.system == BAG_OF_WORDS
        and (known := row.metrics.get("macro_f1")) is not None
        and (known.value or 0.0) > _LEAK
    ]
    return tuple(sentences)


def training_unknown(evaluation: Evaluation) -> tuple[str, ...]:
    """Models whose labels do not say whether they were trained on these dialogues."""
    return tuple(row.system for row in evaluation.data.annotated if row.kind == "model" and row.trained_on is None)
