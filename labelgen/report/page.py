"""The report: one evaluation as one HTML file that needs nothing else, neither network nor script."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from labelgen.report import figures, plots
from labelgen.report.beside import Beside, Verdict, against, beside, larger_is_better, rivals, tally
from labelgen.report.caveats import caveats, training_unknown
from labelgen.report.drawn import Curve, Point
from labelgen.report.form import (
    NO_RIVAL,
    Estimate,
    Evaluation,
    Question,
    Ratio,
    Row,
    Slice,
    WorstSlice,
    read,
)
from labelgen.report.verdicts import BADGES, PLAIN, Judged, headline, tested
from labelgen.report.verdicts import questions as counted
from labelgen.report.viewer import feedback_words, view

_RATIOS_WITHIN = (0.0, 2.0)


def render(evaluation: Mapping[str, Any]) -> str:
    """The page of an evaluation, as it was read from its JSON file. Raises InputError if it is no evaluation."""
    found = read(evaluation)
    questions = [_question(found, q) for q in found.tasks]
    ratio_axis = plots.axis_for(
        [1.0, *(v for q in questions if q.ratio for v in (q.ratio.value, q.ratio.low, q.ratio.high))], _RATIOS_WITHIN
    )
    asked = {task for q in found.tasks for task in q.tasks}
    answered = {task for q in questions if q.verdict != "unanswered" for task in q.question.tasks}
    page = environment().get_template("page.html")
    return page.render(
        evaluation=found,
        questions=questions,
        verdict=verdict(found),
        caveats=caveats(found),
        training_unknown=training_unknown(found),
        ratio_axis=ratio_axis,
        people=any(q.human is not None for q in questions),
        values_axis=plots.axis_for(
            [
                v
                for q in questions
                for b in q.beside
                if b.estimate
                for v in (b.estimate.value, b.estimate.low, b.estimate.high)
            ]
        ),
        weak=[(q, part) for q in questions for part in q.weak],
        worst=[(q, part) for q in questions for part in q.question.worst_slices],
        certain=_certain,
        no_rival=NO_RIVAL,
        views=[view(example, asked - answered) for example in found.dialogues],
        style=Markup(files("labelgen.report").joinpath("page.css").read_text(encoding="utf-8")),
    )


@dataclass(frozen=True, slots=True)
class QuestionView:
    """A question with what the page says of it first. subject: the row of the first candidate, None where it does not answer
    the question; tested: what was tested of it; human: a single annotator's."""

    question: Question
    anchor: str
    verdict: Verdict
    tested: Judged | None
    subject: Row | None
    human: Row | None
    ratio: Ratio | None
    axis: plots.Axis
    weak: tuple[Slice, ...]
    enough: Point | None

    @property
    def main(self) -> Estimate | None:
        return None if self.subject is None else self.subject.metrics.get(self.question.main_metric)

    @property
    def beside(self) -> tuple[Beside, ...]:
        """All candidates, against the one that is judged first; plain rivals by their tests."""
        found = beside(self.question, self.subject)
        return tuple(
            replace(b, verdict=(self.tested and self.tested.of_rival(b.row.candidate)) or b.verdict) for b in found
        )

    @property
    def plain(self) -> list[tuple[str, Estimate | None]]:
        """The plain rivals that the subject was compared with, by their short names."""
        rows = {row.candidate: row.metrics.get(self.question.main_metric) for row in self.question.rows}
        against = self.tested.own.against if self.tested else ()
        return [(x.over.removeprefix(PLAIN), rows.get(x.over)) for x in against if x.kind == "rival"]

    @property
    def parts(self) -> dict[str, list[Slice]]:
        """The slices by what they divide, those of one part together, numbers in names in their order."""
        names = [row.candidate for row in self.question.rows]
        order = sorted(
            self.question.slices,
            key=lambda s: (_natural(s.name), names.index(s.candidate) if s.candidate in names else len(names)),
        )
        return {by: [s for s in order if s.by == by] for by in dict.fromkeys(s.by for s in self.question.slices)}

    def style(self, candidate: str) -> tuple[str, str]:
        """Class and shape of a candidate's marks."""
        if self.subject is not None and candidate == self.subject.candidate:
            return "model", "circle"
        if self.human is not None and candidate == self.human.candidate:
            return "person", "diamond"
        return "other", "square"


def _natural(name: str) -> list[tuple[float, str]]:
    """Sorts `5 to 9` before `10 to 19`, and `0.5` after `0.12`."""
    parts = (part for part in re.split(r"([0-9]+(?:\.[0-9]+)?)", name) if part)
    return [(float(part), "") if part[0].isdecimal() else (-1.0, part) for part in parts]


def verdict(evaluation: Evaluation) -> str:
    """The answer in sentences, by the verdicts of the evaluation."""
    questions = [_question(evaluation, q) for q in evaluation.tasks]
    judged = [q for q in questions if q.main is not None and q.main.value is not None]
    unanswered = [q.question.name for q in questions if q.verdict == "unanswered"]
    left = f"Not answered by this model: {len(unanswered)} ({'; '.join(unanswered)})." if unanswered else ""
    if not judged:
        return left or "Nothing could be judged."
    return f"{_compared(judged)} {left}".rstrip()


def _compared(answered: list[QuestionView]) -> str:
    """The answer of the questions that the candidate answers."""
    name = answered[0].subject.candidate if answered[0].subject else ""
    compared = [(q.question.name, q.tested) for q in answered if q.tested is not None and q.verdict != "alone"]
    said = [headline(name, compared)] if compared else []
    if not any(found.person for _, found in compared):
        said += _others(answered)
    rest = len(answered) - len(compared)
    if compared and rest:
        said.append(f"In {rest} more there is nobody to compare with.")
    return " ".join(said) or f"There is nobody to compare {name} with."


def _others(answered: list[QuestionView]) -> list[str]:
    """A sentence on the other candidates, plain rivals that were tested apart, by whether intervals overlap; none where there are none."""
    pairs = [(q.question, q.subject) for q in answered if q.subject is not None]
    name = pairs[0][1].candidate
    people = {row.candidate for q, _ in pairs for row in q.rows if row.kind == "person"}
    others = [other for other in rivals(pairs) if not other.startswith(PLAIN) and other not in people]
    if not others:
        return []
    said = []
    for other in others:
        found = [(q.name, against(q, s, r)) for q, s in pairs for r in q.rows if r.candidate == other]
        said.append(tally(found, other))
    return [f"Of {counted(len(pairs))}, {name} labels {'; '.join(said)}."]


def _question(evaluation: Evaluation, question: Question) -> QuestionView:
    subject = _subject(evaluation, question)
    name = subject.candidate if subject else None
    ratio = next((r for r in question.ratios if r.candidate == name and r.metric == question.main_metric), None)
    over = ratio.over if ratio else None
    human = next((r for r in question.rows if r.candidate == over), None)
    human = human or next((r for r in question.rows if r.kind == "person" and r != subject), None)
    values = [v for r in question.rows if (e := r.metrics.get(question.main_metric)) for v in (e.value, e.low, e.high)]
    curve = next((c for c in question.precision_coverage if c.candidate == name), None)
    found = tested(question, name)
    return QuestionView(
        question=question,
        anchor=f"q{evaluation.tasks.index(question)}",
        verdict=_verdict(question, subject, found),
        tested=found,
        subject=subject,
        human=human,
        ratio=ratio,
        axis=plots.axis_for(values),
        weak=_weak(question, subject, evaluation.setting.level),
        enough=None if curve is None else enough(curve),
    )


def _subject(evaluation: Evaluation, question: Question) -> Row | None:
    """The row of the first candidate; None where it does not answer the question. The first row where nobody is named."""
    names = evaluation.setting.candidates
    return next((r for r in question.rows if not names or r.candidate == names[0]), None)


def _verdict(question: Question, subject: Row | None, found: Judged | None) -> Verdict:
    if subject is None and question.rows:
        return "unanswered"
    return "alone" if found is None else found.own.verdict


def _weak(question: Question, subject: Row | None, level: float) -> tuple[Slice, ...]:
    """The slices where the candidate is worse than on the rest beyond what chance gives among so many, the worst first."""
    sign = 1.0 if larger_is_better(question, question.main_metric) else -1.0
    found = [
        (sign * (part.value - part.rest), part)
        for part in question.slices
        if subject is not None and part.candidate == subject.candidate and _certain(part, level)
        if part.value is not None and part.rest is not None
    ]
    return tuple(part for _, part in sorted(found, key=lambda pair: pair[0]))


def _certain(part: Slice | WorstSlice, level: float) -> bool:
    # As a sum, since 1 - 0.95 is a little more than 0.05.
    return part.p_adjusted is not None and part.p_adjusted + level <= 1.0


def enough(curve: Curve) -> Point | None:
    """The widest coverage at which accepted answers are right as often as a single annotator's, if there is one."""
    bar = curve.single_annotator
    if bar is None:
        return None
    good = [p for p in curve.points if p.precision is not None and p.coverage is not None and p.precision >= bar]
    return max(good, key=lambda p: p.coverage or 0.0, default=None)


@cache
def environment() -> Environment:
    """The templates of this folder, with the drawings and the ways of writing numbers."""
    found = Environment(
        loader=PackageLoader("labelgen", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(data=figures.data, plots=plots, mark=plots.Mark, words=BADGES, feedback_words=feedback_words)
    return found
