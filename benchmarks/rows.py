"""Rows of results from the predictions that `labelgen evaluate` wrote.

Folds are pooled, and trainings with different seeds are averaged: intervals are over dialogues and, of several trainings, over
trainings too. Differences are paired in both.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from labelgen.agreement.consensus import CONSENSUS
from labelgen.base.registry import resolve
from labelgen.confidence.resampling import Array, interval, over_trainings
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.data.split import user_key
from labelgen.evaluation.baselines import BASELINES
from labelgen.evaluation.measure import Measured, items_of, measure_all
from labelgen.evaluation.protocol import Judgment, Protocol
from labelgen.metrics.results import BASELINE, HUMAN, Setting, SystemName, read_evaluation
from labelgen.tasks.evaluation import EvaluationTask, answered, evaluation_tasks, from_turn

from .results import Result, slug

PERSON = "one annotator"
REFERENCES = {None: "other annotators", 0: "all annotators"}
"""Number of other annotators in the consensus -> name of the reference; 0: nobody is left out."""
JOINT = {"frame_accuracy": ("intents", "slots")}
_RIVALS = tuple(resolve(BASELINES, key, "baseline").name.removeprefix(BASELINE) for key in BASELINES)
_SEED, _VARIANT = re.compile(r"/seed-(\d+)/"), re.compile(r"/variant-([^/]+)/")


@dataclass(frozen=True, slots=True)
class Training:
    """Predictions of the trainings with one seed, and how they were judged. variants: name -> dialogues; the name is empty for a recipe
    without variants. systems: of the first variant."""

    seed: str
    variants: dict[str, list[Dialogue]]
    systems: list[str]
    setting: Setting


def from_predictions(
    predictions: Sequence[Path],
    corpus: str,
    split: str,
    metrics: Sequence[str],
    others: Sequence[int | None] = (0, None),
    pool_units: bool = False,
    by_source: Mapping[str, str] | None = None,
    pairs: Sequence[Sequence[str]] = (),
    systems: Sequence[str] = (),
    setting: str = "",
    variants: Mapping[str, str] | None = None,
    baseline: str = "",
) -> list[Result]:
    """Every metric of every system, and its difference from each baseline and from one annotator.

    Args:
        predictions: predictions.jsonl of each fold and training; a folder `seed-N` in the path names the training.
        metrics: names of metrics; each task reports those that it has.
        others: how many annotators make the consensus; None leaves one out, 0 leaves nobody out. Ignored for other references.
        pool_units: judge turns and dialogues together.
        by_source: source of a dialogue -> name of its corpus; empty: all dialogues are of `corpus`.
        pairs: systems to compare, `[system, baseline]`; by default each model with one annotator and with each baseline, or, of variants,
            each of them with `baseline`.
        systems: systems to report; empty: all.
        setting: text of the column `setting`.
        variants: the variants of the recipe, whose names take the place of `model`.
        baseline: the variant that all others are compared with.
    """
    trainings = _trainings(predictions, {slug(name): name for name in variants or {}})
    if baseline:
        pairs = [*pairs, *((name, baseline) for name in trainings[0].variants if name != baseline)]
    rows: list[Result] = []
    for name, source in {label: key for key, label in (by_source or {}).items()}.items() or [(corpus, None)]:
        part = [_of_source(training, source) for training in trainings]
        by_consensus = part[0].setting.reference == CONSENSUS
        for count in others if by_consensus else [None]:
            made = _Table(part, count, pool_units, metrics, systems, pairs)
            reference = (
                REFERENCES.get(count, f"{count} other annotators") if by_consensus else part[0].setting.reference
            )
            cells = {"corpus": name, "split": split, "setting": setting, "reference": reference}
            rows += (structs.replace(row, **cells) for row in made.rows())
    return rows


def _trainings(predictions: Sequence[Path], names: Mapping[str, str]) -> list[Training]:
    """The trainings by seed. Folds of one variant are pooled."""
    by_seed: dict[str, dict[str, list[Path]]] = {}
    for path in predictions:
        match = _VARIANT.search(str(path))
        seed, variant = seed_of(path), match[1] if match else ""
        by_seed.setdefault(seed, {}).setdefault(names.get(variant, variant), []).append(path)
    trainings = []
    for seed, variants in by_seed.items():
        first = read_evaluation(next(iter(variants.values()))[0].parent / "evaluation.json")
        logs = {name: sorted(Log(paths), key=lambda dialogue: dialogue.id) for name, paths in variants.items()}
        trainings.append(Training(seed, logs, list(map(str, first.systems)), first.setting))
    return trainings


def _of_source(training: Training, source: str | None) -> Training:
    kept = {name: [d for d in log if source in (None, d.source)] for name, log in training.variants.items()}
    return Training(training.seed, kept, training.systems, training.setting)


def seed_of(path: Path) -> str:
    """The seed of the training whose output a file is; empty without one."""
    match = _SEED.search(str(path))
    return match[1] if match else ""


def pooled(tasks: Sequence[EvaluationTask]) -> tuple[EvaluationTask, ...]:
    """The tasks with all units of a task judged together."""
    out: dict[tuple[str, ...], EvaluationTask] = {}
    for task in tasks:
        first = out.get(task.tasks)
        units = task.units if first is None else (*first.units, *task.units)
        name = task.name if first is None else task.tasks[0]
        out[task.tasks] = dataclasses.replace(task, name=name, units=units, metrics=(first or task).metrics)
    return tuple(out.values())


class _Table:
    """All numbers of several trainings on the same dialogues against one reference."""

    def __init__(
        self, trainings: Sequence[Training], others: int | None, pool_units: bool, metrics: Sequence[str], systems: Sequence[str], pairs: Sequence[Sequence[str]]
    ) -> None:  # fmt: skip
        self.trainings = trainings
        self.setting = structs.replace(trainings[0].setting, resamples=1000, others=others)
        self.metrics, self.systems, self.pairs = metrics, systems, pairs
        names = {task for metric, tasks in JOINT.items() if metric in metrics for task in tasks}
        known = evaluation_tasks({metric: JOINT[metric] for metric in JOINT if names and metric in metrics})
        self.tasks = from_turn(pooled(known) if pool_units else known, self.setting.first_turn)

    def rows(self) -> Iterator[Result]:
        """The rows of every task that the reference answers."""
        for task in self.tasks:
            metrics = [name for name in self.metrics if name in task.metrics]
            if metrics:
                yield from self._of_task(task, metrics)

    def _of_task(self, task: EvaluationTask, metrics: Sequence[str]) -> Iterator[Result]:
        measured = [self._measured(task, metrics, training) for training in self.trainings]
        names = [name for name in measured[0] if all(name in results for results in measured)]
        for name in names:
            for metric in metrics:
                results = [one[name][metric] for one in measured]
                yield from self._rows(
                    task,
                    metric,
                    name,
                    "",
                    [one.interval.value for one in results],
                    [one.draws for one in results],
                    results[0].items,
                )
        pairs = self.pairs or [(s, b) for s in names if not _plain(s) for b in names if _plain(b)]
        for system, baseline in pairs:
            if system in names and baseline in names:
                for metric in metrics:
                    ours, theirs = ([one[name][metric] for one in measured] for name in (system, baseline))
                    values = [_less(a.interval.value, b.interval.value) for a, b in zip(ours, theirs, strict=True)]
                    draws = [a.draws - b.draws for a, b in zip(ours, theirs, strict=True)]
                    yield from self._rows(task, metric, system, baseline, values, draws, ours[0].items)

    def _measured(
        self, task: EvaluationTask, metrics: Sequence[str], training: Training
    ) -> dict[str, dict[str, Measured]]:
        """system -> metric -> value, of one training."""
        out: dict[str, dict[str, Measured]] = {}
        for variant, dialogues in training.variants.items():
            judgments: list[Judgment] = Protocol(dialogues, self.tasks, self.setting).judgments(task).all
            people = [HUMAN] if any(judgment.person is not None for judgment in judgments) else []
            present = [name for name in training.systems if any(answered(d.annotation(name), task) for d in dialogues)]
            for system in (*present, *people) if judgments else ():
                of_variant = variant and system in ("model", str(SystemName("model", on_given_goals=True)))
                name = variant + system.removeprefix("model") if of_variant else _name(system)
                if name not in out and (not self.systems or name in self.systems):
                    items = items_of(judgments, dialogues, task, system)
                    out[name] = measure_all(metrics, items, judgments, self.setting, list(map(user_key, dialogues)))
        return out

    def _rows(
        self, task: EvaluationTask, metric: str, system: str, baseline: str, values: Sequence[float | None], draws: Sequence[Array], items: int
    ) -> Iterator[Result]:  # fmt: skip
        known = [value for value in values if value is not None]
        if len(known) < len(values) or not values:
            return
        value, drawn = over_trainings(known, draws, self.setting.seed)
        shown = interval(value, drawn, self.setting.level).rounded()
        trained = not _plain(system)
        seeds = " ".join(training.seed for training in self.trainings) if trained else ""
        row = Result(
            task=task.name,
            system=system,
            baseline=baseline,
            metric=metric,
            seed=seeds,
            n=items,
            value=shown["value"],
        )
        bounds = {} if shown["low"] is None else {"low": shown["low"], "high": shown["high"], "interval": "bootstrap"}
        yield structs.replace(row, **bounds)
        if trained and len(known) > 1:
            yield structs.replace(
                row, value=None, low=round(min(known), 4), high=round(max(known), 4), interval="range"
            )
            for training, one in zip(self.trainings, known, strict=True):
                yield structs.replace(row, seed=training.seed, value=round(one, 4))


def _name(system: str) -> str:
    """The name of a system in results."""
    return PERSON if system == HUMAN else system.removeprefix(BASELINE)


def _plain(name: str) -> bool:
    """Whether a system is the same for all trainings: one annotator or a baseline."""
    return name == PERSON or name.startswith(_RIVALS)


def _less(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs
