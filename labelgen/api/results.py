"""Results of the Python functions: tables for pandas, and drawings for notebooks."""

import html
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from labelgen.api.dialogues import Dialogues
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, AtSpan, AtTurn, turns_of
from labelgen.data.tables import COLUMNS, arrow_table_schema, open_table_writer
from labelgen.feedback.targets import VERDICTS, posterior_of
from labelgen.metrics.results import Evaluation
from labelgen.report.page import caveats, render
from labelgen.report.terminal import drawn_html, drawn_text, results_table
from labelgen.steps.export import label_table
from labelgen.tasks import TASKS

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame
    from rich.console import RenderableType

    from labelgen.api.annotator import Annotator
    from labelgen.model.calibration import Calibration

_TABLE_WIDTH = 120


class _Table:
    """A result that is a table. kinds: column -> its type in Arrow, where columns are fixed. shown: number of rows in a notebook."""

    __slots__ = ()
    kinds: ClassVar[Mapping[str, str]] = {}
    shown: ClassVar[int] = 1000

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """A dict for each row."""
        raise AssertionError

    def to_pandas(self) -> "DataFrame":
        """The table as a DataFrame, with whole numbers that may be absent as Int64."""
        import pandas

        frame = pandas.DataFrame(list(self.rows()), columns=list(self.kinds) or None)
        return frame.astype({name: "Int64" for name, kind in self.kinds.items() if kind == "int64"})

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def _repr_html_(self) -> str:
        rows = list(islice(self.rows(), self.shown + 1))
        names = list(self.kinds or dict.fromkeys(name for row in rows for name in row))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(f"<tr>{''.join(_cell(row.get(name)) for name in names)}</tr>" for row in rows[: self.shown])
        more = "<p>...</p>" if len(rows) > self.shown else ""
        about = html.escape(str(self))
        return f"<p>{about}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td style="text-align: right">{value:.3f}</td>'
    return f"<td>{'' if value is None else html.escape(str(value))}</td>"


@dataclass(frozen=True, slots=True, repr=False)
class Aggregated(_Table):
    """Dialogues with what was added to them. what: signals, targets or annotations; counts: of these, by the values of `heads`; notes: what
    the method learned, or could not use."""

    dialogues: Dialogues
    what: str
    heads: tuple[str, ...]
    counts: Mapping[tuple[str, ...], int]
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each kind that was counted."""
        for key, count in sorted(self.counts.items()):
            yield {**dict(zip(self.heads, key, strict=True)), "count": count}

    def details(self) -> "DataFrame":
        """A row for each signal or target; for annotations, for each label.

        `turn` is None for a goal, a pair of turns or the dialogue; `turns` has the turns of each. `went_well` is the posterior of a verdict
        (outcome, quality), before it is divided among names; `label` the most probable name, None for an empty or negative target."""
        import pandas

        rows = {"signals": _signal_rows, "targets": _target_rows}.get(self.what)
        if rows is None:
            return LabelTable(self.dialogues).to_pandas()
        frame = pandas.DataFrame([row for dialogue in self.dialogues for row in rows(dialogue)])
        return frame.astype({"turn": "Int64"}) if len(frame) else frame

    def __iter__(self) -> Iterator[Any]:
        return iter(self.dialogues)

    def _repr_html_(self) -> str:
        notes = html.escape("\n".join(self.notes))
        return _Table._repr_html_(self) + (f"<pre>{notes}</pre>" if notes else "")

    def __str__(self) -> str:
        return f"{sum(self.counts.values()):,} {self.what} in {len(self.dialogues):,} dialogues"


def _signal_rows(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    for one in dialogue.signals:
        yield {
            "dialogue": dialogue.id,
            "kind": one.kind,
            "turn": one.turns[0] if len(one.turns) == 1 else None,
            "turns": one.turns,
            "vote": one.vote,
            "strength": one.strength,
            "explicit": one.explicit,
            "evidence": one.evidence,
            "span": one.span,
        }


def _target_rows(dialogue: Dialogue) -> Iterator[dict[str, Any]]:
    for one in dialogue.targets:
        label, probability = max(one.distribution or ((None, None),), key=lambda pair: pair[1] or 0.0)
        yield {
            "dialogue": dialogue.id,
            "task": one.task,
            "unit": UNIT_OF[type(one.at)],
            "turn": one.at.turn if isinstance(one.at, AtTurn | AtSpan) else None,
            "turns": turns_of(one.at),
            "label": label,
            "probability": probability,
            "went_well": posterior_of(one) if one.task in VERDICTS else None,
            "weight": one.weight,
            "origin": one.origin,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """How the feedback in one dialogue becomes targets. parts: the drawing and the lines below it, as rich renderables."""

    parts: tuple["RenderableType", ...]

    def __str__(self) -> str:
        return drawn_text(*self.parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return drawn_html(*self.parts)


@dataclass(frozen=True, slots=True, repr=False)
class LabelTable(_Table):
    """The labels of dialogues, a row for each (labelgen.data.tables.COLUMNS). annotators: whose; () for all."""

    kinds = COLUMNS
    shown = 20
    dialogues: Dialogues
    annotators: tuple[str, ...] = ()

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, read from the log each time."""
        return label_table(self.dialogues, self.annotators)

    def to_dataset(self, task: str | None = None) -> "Dataset":
        """The table as a datasets.Dataset in memory.

        Args:
            task: rows of this task alone, with `label` as a ClassLabel: the classes of the task, or those of the label sets and
                others in the rows by name; None where the annotator says that there is none."""
        from datasets import ClassLabel, Dataset, Features

        rows = [row for row in self.rows() if task in (None, row["task"])]
        features = Features.from_arrow_schema(arrow_table_schema())
        if task is not None:
            fixed = resolve(TASKS, task, "task").names or ()
            known = {name.name for tasks in self.dialogues.labels.values() for name in tasks.get(task, ())}
            others = known.union(row["label"] for row in rows if row["label"] is not None).difference(fixed)
            features["label"] = ClassLabel(names=[*fixed, *sorted(others)])
        return Dataset.from_list(rows, features=features)

    def save(self, path: str | os.PathLike[str], force: bool = False) -> int:
        """Write the table to `.csv` or `.parquet`; returns the number of rows.

        Raises UsageError for another ending, or if the file exists and force is false."""
        with open_table_writer(Path(path), force) as write:
            count = 0
            for row in self.rows():
                write(row)
                count += 1
        return count

    def __str__(self) -> str:
        who = f" by {', '.join(self.annotators)}" if self.annotators else ""
        return f"labels{who} in {self.dialogues!r}"


@dataclass(frozen=True, slots=True, repr=False)
class Consensus(_Table):
    """Dialogues with the consensus of their annotators. agreement: a row for each question; annotators: for each person and task."""

    dialogues: Dialogues
    agreement: list[dict[str, Any]]
    annotators: list[dict[str, Any]]

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Agreement, a row for each question."""
        return self.agreement

    def __iter__(self) -> Iterator[Any]:
        return iter(self.dialogues)

    def __str__(self) -> str:
        return f"consensus of {len(self.dialogues):,} dialogues"


@dataclass(frozen=True, slots=True, repr=False)
class TrainingRun(_Table):
    """A training. folder: of the run; model: its model folder; summary: how it ended."""

    folder: Path
    model: Path
    summary: str

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of metrics.jsonl (docs/reference/folders.md)."""
        with (self.folder / "metrics.jsonl").open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def annotator(self, **options: Any) -> "Annotator":
        """The trained model as an annotator. options: those of `Annotator`."""
        from labelgen.api.annotator import Annotator

        return Annotator.from_pretrained(self.model, **options)

    def __str__(self) -> str:
        return self.summary


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """An HTML page in a frame of a notebook. height: in pixels."""

    html: str
    height: int

    def __repr__(self) -> str:
        return f"<Page: {len(self.html):,} characters of HTML>"

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: {self.height}px; border: 0"></iframe>'


@dataclass(frozen=True, slots=True, repr=False)
class EvaluationResult(_Table):
    """An evaluation. evaluation: its typed numbers (labelgen.metrics.results); folder: with evaluation.json, predictions.jsonl and
    report.html, None if none was wanted."""

    evaluation: Evaluation
    folder: Path | None

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each task, system and metric, with its interval."""
        for task in self.evaluation.tasks:
            for row in task.rows:
                for metric, estimate in row.metrics.items():
                    yield {
                        "task": task.name,
                        "unit": task.unit,
                        "system": row.system,
                        "metric": metric,
                        "value": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                        "items": estimate.items,
                        "dialogues": estimate.dialogues,
                        "main": metric == task.main_metric,
                    }

    def html(self) -> str:
        """The report as one HTML page."""
        return render(self.evaluation)

    def report(self, height: int = 700) -> "Page":
        """The report for a notebook, which keeps all of it (100 kB and more). height: in pixels."""
        return Page(self.html(), height)

    def _repr_html_(self) -> str:
        """The table of main metrics that the command prints, and its notes."""
        notes = "".join(f"<p>note: {html.escape(text)}</p>" for text in caveats(self.evaluation))
        return drawn_html(results_table(self.evaluation), width=_TABLE_WIDTH) + notes

    def __str__(self) -> str:
        return self.evaluation.title


@dataclass(frozen=True, slots=True, repr=False)
class CalibrationResult(_Table):
    """A calibration of a model folder. calibration: as calibration.json has it."""

    calibration: "Calibration"
    model: Path

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each task and unit: how probabilities are scaled, and the certified threshold with its coverage and precision."""
        for one in self.calibration.tasks:
            certificate = one.certificate
            measured = {} if certificate is None or one.threshold is None else one.measured
            yield {
                "task": one.task,
                "unit": one.unit,
                "scaling": one.labels.kind,
                "temperature": one.labels.temperature,
                "threshold": one.threshold,
                "coverage": measured.get("coverage", {}).get("value"),
                "precision": measured.get("precision", {}).get("value"),
                "reason": None if certificate is None else certificate.reason,
            }

    def __str__(self) -> str:
        return f"calibration of {self.model} against {self.calibration.against}"
