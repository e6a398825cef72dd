"""Drift of a log, and adaptation to it: false alarms, power, and what ten labeled dialogues mend.

Detection: predictions of one pool are made once; each draw divides it at random into a reference and a log, or draws a log from a pool
with a shift. Adaptation: each draw labels ten dialogues of a log, and the others judge; intervals are over draws, dialogues and trainings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from labelgen.confidence.resampling import Array, holm, interval, over_trainings, resamples
from labelgen.confidence.scaling import Scaling, fit_weights
from labelgen.confidence.two_sample import Sample, compare
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Unit
from labelgen.data.log import Log, write_log
from labelgen.evaluation.calibrate import adapt_tasks, answers_of, parts_of, sample, void_certificates
from labelgen.evaluation.protocol import with_reference
from labelgen.metrics.metric import divide
from labelgen.metrics.results import DriftTest, Setting
from labelgen.model.annotator import Annotator
from labelgen.model.calibration import TaskCalibration, by_field, read_calibration
from labelgen.steps.calibrate import MODEL, annotated
from labelgen.steps.shared import AudioFolders
from labelgen.tasks.evaluation import EvaluationTask, evaluation_tasks

from .results import Result, binomial, bootstrap, versions

CONSENSUS = "consensus"
REFERENCE = 240
"""Dialogues of a drawn reference."""
SIZES = (25, 100)
"""Dialogues of a drawn log."""
LABELED = 10
"""Labeled dialogues that a model is adapted to."""
LEVEL = 0.05
_DOMAIN = "music"
_RESAMPLES = 400
_MOST_DIALOGUES = 600


def of_source(log: Sequence[Path], source: str, out: Sequence[Path], others: bool = False) -> None:
    """The dialogues of a source, or all others."""
    read = Log(list(log))
    kept = [d for d in read if (d.source == source) != others]
    write_log(out[0], kept, read.labels(), force=True)


@dataclass(frozen=True)
class _Pool:
    """Dialogues with the annotations of a model, as it is without calibration, and the consensus."""

    annotator: Annotator
    tasks: list[EvaluationTask]
    dialogues: list[Dialogue]

    def sample(self, calibrated: Sequence[TaskCalibration]) -> Sample:
        known = {(one.task, one.unit): one for one in calibrated}
        model, every = self.annotator.model, self.dialogues
        return sample(model, every, every, self.tasks, MODEL, CONSENSUS, known)


def _pool(model: Path, log: Sequence[Path], ratings: Literal["vote", "mean"] = "vote") -> _Pool:
    source = Log(list(log))
    annotator = Annotator(model, source.labels(), MODEL, calibrated=False)
    read = AudioFolders(source)
    tasks = [task for task in evaluation_tasks() if task.tasks[0] in annotator.model.tasks]
    dialogues = with_reference(read, tasks, Setting(ratings=ratings))
    return _Pool(annotator, tasks, list(annotated(dialogues, annotator, read)))


def _taken(whole: Sample, places: NDArray[np.int64]) -> Sample:
    rows = {aspect: tuple(values[k] for k in places) for aspect, values in whole.rows.items()}
    return Sample(tuple(whole.sources[k] for k in places), rows)


def _adjusted(tests: Sequence[DriftTest]) -> list[DriftTest]:
    """The tests as if there were no others."""
    p_values = holm([test.p_value for test in tests])
    return [structs.replace(test, p_adjusted=p, drifted=p <= LEVEL) for test, p in zip(tests, p_values, strict=True)]


def _joined(first: Sample, second: Sample) -> Sample:
    def of(one: Sample, aspect: object) -> tuple[Mapping[str, float] | None, ...]:
        return next((rows for known, rows in one.rows.items() if known == aspect), (None,) * len(one.sources))

    aspects = {**first.rows, **second.rows}
    return Sample((*first.sources, *second.sources), {a: (*of(first, a), *of(second, a)) for a in aspects})


def detection(
    models: Sequence[Path],
    pool: Sequence[Path],
    calib: Sequence[Path],
    shifted: Sequence[Path],
    draws: int,
    shifted_draws: int,
) -> list[Result]:
    """Shares of draws in which a shift is found, and in which the certificate of turns' quality is void; by the first model."""
    calibration = read_calibration(models[0])
    assert calibration is not None
    unseen = _pool(models[0], calib)
    kept = [unseen.dialogues[k] for k in parts_of(unseen.dialogues, calibration.seed)["certify"]]
    held_out = _Pool(unseen.annotator, unseen.tasks, kept).sample(calibration.tasks)
    fresh = _pool(models[0], pool)
    nothing = _joined(held_out, fresh.sample(calibration.tasks))
    domain = [d for d in fresh.dialogues if d.turns and d.turns[0].domain == _DOMAIN]
    logs = {
        **{_shift_of(path): _pool(models[0], [path]).sample(calibration.tasks) for path in shifted},
        f"one domain ({_DOMAIN})": _Pool(fresh.annotator, fresh.tasks, domain).sample(calibration.tasks),
    }
    rows = []
    for name, log in {"no shift": nothing, **logs}.items():
        for size in SIZES:
            found: Counter[tuple[str, str]] = Counter()
            count = draws if name == "no shift" else shifted_draws
            for draw in range(count):
                rng = np.random.default_rng((size, draw))
                order = rng.permutation(len(nothing.sources))
                others = order[REFERENCE:] if log is nothing else rng.permutation(len(log.sources))
                every = compare(_taken(nothing, order[:REFERENCE]), _taken(log, others[:size]), seed=draw)
                unlabeled = _adjusted([test for test in every if test.kind != "labels"])
                for kind, tests in (("with labels", every), ("without labels", unlabeled)):
                    void = void_certificates(calibration.thresholds(), tests)
                    found[kind, "drift_detected"] += any(test.drifted for test in tests)
                    found[kind, "certificate_void"] += any((x.task, x.unit) == ("quality", "turn") for x in void)
            rows += [
                Result(
                    corpus="simulated",
                    system=name,
                    metric=metric,
                    setting=f"{size} dialogues, {kind}",
                    n=count,
                    seed="0",
                    versions=versions("numpy"),
                    **binomial(found[kind, metric], count),
                )
                for kind in ("without labels", "with labels")
                for metric in ("drift_detected", "certificate_void")
            ]
    return rows


def _shift_of(path: Path) -> str:
    return path.parent.name.partition("-")[2].replace("_", " ")


def adaptation(
    models: Sequence[Path], log: Sequence[Path], corpus: str, draws: int, ratings: Literal["vote", "mean"] = "vote"
) -> list[Result]:
    """Macro F1 of turns' quality before and after adapting to LABELED dialogues, on all others, with the paired differences.

    models: trainings of one recipe, calibrated. Rivals: class weights that maximize macro F1 of the same dialogues, without shrinkage; and
    the same weights from all dialogues, those that judge included, which no adaptation can know."""
    systems = ("calibrated", "adapted", "weights without shrinkage", "weights of all labels (not attainable)")
    trainings = [list(_of_training(model, log, draws, ratings)) for model in models]
    cells = {"corpus": corpus, "task": "quality", "setting": f"{LABELED} labeled dialogues"}
    return _summary(trainings, systems, "macro_f1", cells)


def _summary(
    trainings: Sequence[Sequence["_Draw"]], systems: Sequence[str], metric: str, cells: Mapping[str, str]
) -> list[Result]:
    """Each system, and its difference from the first: means over draws and trainings. For the second system also the worst change of
    a single draw, and how often it was adapted."""
    draws = len(trainings[0])
    rng = np.random.default_rng(1)
    values = np.array([[[one.values[k] for one in training] for k in range(len(systems))] for training in trainings])
    drawn = rng.integers(0, draws, (_RESAMPLES, draws))
    # [trainings, systems, resamples]
    spread = np.array(
        [
            [
                np.stack([one.resampled[k] for one in training])[drawn, np.arange(_RESAMPLES)[:, None]].mean(axis=1)
                for k in range(len(systems))
            ]
            for training in trainings
        ]
    )
    fields: dict[str, Any] = {**cells, "seed": " ".join(map(str, range(len(trainings))))}
    fields["versions"] = versions("numpy", "torch")
    rows = []
    for k, system in enumerate(systems):
        for minus in (None, 0) if k else (None,):
            value = values[:, k] - (values[:, minus] if minus is not None else 0.0)
            resampled = spread[:, k] - (spread[:, minus] if minus is not None else 0.0)
            mean, both = over_trainings(list(value.mean(axis=1)), list(resampled), 0)
            cell = bootstrap(interval(mean, both).rounded())
            baseline = "" if minus is None else systems[minus]
            rows.append(
                Result(system=system, metric=metric, baseline=baseline, n=trainings[0][0].items, **fields, **cell)
            )
    count = draws * len(trainings)
    change = values[:, 1] - values[:, 0]
    worst = float(change.min())
    share = float(np.mean([one.adapted for training in trainings for one in training]))
    for name, number in (("adapted_share", share), (f"worst_change_of_{metric}", round(worst, 4))):
        rows.append(Result(system=systems[1], metric=name, n=count, value=number, **fields))
    return rows


@dataclass(frozen=True)
class _Draw:
    """values: the metric of each system on the dialogues that judge; resampled: the same in resamples of these, [R] each. items: how many."""

    values: list[float]
    resampled: list[Array]
    adapted: bool
    items: int


def _of_training(model: Path, log: Sequence[Path], draws: int, ratings: Literal["vote", "mean"]) -> Iterator[_Draw]:
    calibration = read_calibration(model)
    assert calibration is not None
    key: tuple[str, Unit] = ("quality", "turn")
    old = by_field(calibration)[key]
    pool = _pool(model, log, ratings)
    tasks = [t for t in pool.tasks if (t.tasks[0], UNIT_OF[t.scopes[0]]) == key]
    rows = [(d, own) for d in pool.dialogues if (own := _rows(d, tasks[0]))][:_MOST_DIALOGUES]
    dialogues = [d for d, _ in rows]
    answers = [own for _, own in rows]
    times = resamples(len(dialogues), _RESAMPLES, 0)
    before, ceiling = (_confusion(answers, one) for one in (old.labels, _weighted(answers, old.labels)))
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(dialogues))
        few = order[:LABELED]
        labeled, others = ([dialogues[k] for k in places] for places in (few, order[LABELED:]))
        [(new, fit)] = adapt_tasks(labeled, tasks, MODEL, Setting(ratings=ratings), [old], others)
        judged = np.ones(len(dialogues))
        judged[few] = 0.0
        plain = _weighted([answers[k] for k in few], old.labels)
        every = (before, _confusion(answers, new.labels), _confusion(answers, plain), ceiling)
        tables = [table * judged[:, None, None] for table in every]
        yield _Draw(
            [float(_macro_f1(table.sum(axis=0)[None])[0]) for table in tables],
            [_macro_f1(np.einsum("rd,dij->rij", times, table)) for table in tables],
            fit is not None and fit.adapted,
            int(tables[0].sum()),
        )


_Row = tuple[list[float], int]
"""A distribution of the model without calibration, and the index of the right name."""


def _rows(dialogue: Dialogue, task: EvaluationTask) -> list[_Row]:
    names = task.names or ()
    found = answers_of(0, dialogue.annotation(MODEL), dialogue.annotation(CONSENSUS), task)
    return [([p for _, p in x.labels[0].distribution or ()], names.index(x.wanted[0])) for x in found]


def _weighted(answers: Sequence[Sequence[_Row]], scaling: Scaling) -> Scaling:
    """The scaling with class weights that maximize macro F1 of these dialogues."""
    rows = [row for own in answers for row in own]
    weights = fit_weights([scaling.of_all(row) for row, _ in rows], [right for _, right in rows])
    return replace(scaling, weights=weights or scaling.weights)


def _confusion(answers: Sequence[Sequence[_Row]], scaling: Scaling) -> Array:
    """[D, names, names]: how often each name was right and each was predicted, in each dialogue."""
    names = len(answers[0][0][0])
    table = np.zeros((len(answers), names, names))
    for k, own in enumerate(answers):
        for row, right in own:
            table[k, right, scaling.decide(scaling.of_all(row))] += 1
    return table


def _macro_f1(tables: Array) -> Array:
    """[R] of confusions [R, names, names]; names that neither occur nor are predicted do not count."""
    occur = tables.sum(axis=1) + tables.sum(axis=2)
    f1 = divide(2 * np.diagonal(tables, axis1=1, axis2=2), occur)
    return np.asarray(np.nanmean(np.where(occur > 0, f1, np.nan), axis=1), dtype=np.float64)
