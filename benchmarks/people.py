"""One table for all corpora on which people judged quality or success: the model beside plain rivals and one annotator.

Each group of corpora is one model. `judge` writes the answers of all trainings and rivals on one fold, `rows` measures them: intervals are
over users (over dialogues where the user is unknown) and trainings. The pooled difference is the mean of the paired differences, each
corpus with one weight; corpora are resampled apart from each other.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from msgspec.structs import replace

from labelgen.base.errors import UsageError
from labelgen.confidence.resampling import Array, interval, over_trainings
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal
from labelgen.data.log import Log, write_log
from labelgen.data.split import Part, Seen, part_of, user_key
from labelgen.evaluation.baselines import default_baselines, fit_baselines
from labelgen.evaluation.measure import Measured, items_of, measure_all
from labelgen.evaluation.protocol import Judgment, Protocol, with_reference
from labelgen.feedback.signal import USER, hide_answers
from labelgen.metrics.results import BASELINE, HUMAN, Setting, SystemName
from labelgen.model.annotator import Annotator
from labelgen.tasks.evaluation import EvaluationTask, about, answered, evaluation_tasks, from_turn

from .results import Result, bootstrap
from .rows import PERSON, pooled

MODEL = "model"
KEPT = "test"
"""Name of the fold that is a test source."""
DEVELOP = "develop"
_AT_ONCE = 256
_RESAMPLES = 2000
SMALL = "small"
"""The encoder of the model itself."""
_GROUP, _FOLD, _SEED, _ENCODER = (re.compile(rf"/{name}-([^/]+)/") for name in ("group", "fold", "seed", "encoder"))
_MAIN = {"quality": "macro_f1", "outcome": "failure_auprc"}
_RANKED = ("failure_auprc",)
"""Metrics that order answers by score. Models of two folds have scores of different scales, so these are means over folds."""
_OTHERS = {"quality": ("accuracy", "bad_f1"), "outcome": ("accuracy", "macro_f1")}


def answered_dialogues(log: Sequence[Path], task: str, out: Sequence[Path]) -> None:
    """The dialogues with an answer of the task; in STAR, two thirds have none."""
    source = Log(list(log))
    kept = (d for d in source if any(label.task == task for a in d.annotations for label in a.labels))
    write_log(out[0], kept, source.labels(), force=True)


def judge(
    test: Sequence[Path],
    train: Sequence[Path],
    models: Sequence[Path],
    group: str,
    settings: Mapping[str, Mapping[str, Any]],
    rivals: Sequence[str],
    out: Sequence[Path],
    device: str = "cpu",
) -> None:
    """Write the test dialogues with the answers of each training, named by its seed, and of the rivals; a model of another encoder than
    the small one is a rival. Answers about goals are on the goals of the reference, and no model sees what users said explicitly where that
    is the reference. Copies of training dialogues are left out."""
    setting, tasks = setting_of(settings[group])
    training = list(Log(list(train)))
    seen = Seen(training)
    dialogues = with_reference([d for d in Log(list(test)) if d not in seen], tasks, setting)
    about_goals = any(task.scopes == (AtGoal,) for task in tasks)
    fitted = fit_baselines(training, tasks, setting, default_baselines(setting.seed, rivals))
    judged = fitted.annotate(dialogues, setting.reference)
    for folder in models:
        other = _found(_ENCODER, folder)
        name = f"{MODEL} {_found(_SEED, folder)}" if other == SMALL else f"{BASELINE}{other.replace('_', ' ')} encoder"
        annotator = Annotator(folder, name=name, device=device)
        for start in range(0, len(judged), _AT_ONCE):
            some = judged[start : start + _AT_ONCE]
            shown = list(map(hide_answers, some)) if setting.reference == USER else some
            made = annotator.annotate(shown, setting.reference if about_goals else None)
            judged[start : start + _AT_ONCE] = [
                replace(d, annotations=(*d.annotations, a)) for d, a in zip(some, made, strict=True)
            ]
    write_log(out[0], judged, force=True)


def rows(
    judged: Sequence[Path],
    corpora: Mapping[str, str],
    settings: Mapping[str, Mapping[str, Any]],
    develop: Mapping[str, float],
    pools: Mapping[str, Sequence[str]],
) -> list[Result]:
    """Every metric of every system on each corpus, the model's differences from all others, and the pooled differences.

    Args:
        corpora: source of a dialogue -> name of its corpus.
        develop: group -> share of its dialogues that choices were made on, which are not reported.
        pools: rival -> corpora over which its differences are pooled.
    """
    logs: dict[str, list[Dialogue]] = {}
    of_group: dict[str, str] = {}
    fold_of: dict[str, str] = {}
    for path in judged:
        group, fold = _found(_GROUP, path), _found(_FOLD, path)
        for dialogue in Log([path]):
            corpus = corpora.get(dialogue.source or "")
            if corpus is not None and (fold == KEPT or not is_developed(dialogue, develop.get(group, 0.0))):
                logs.setdefault(corpus, []).append(dialogue)
                of_group[corpus] = group
                fold_of[dialogue.id] = fold
    if not logs:
        known = ", ".join(corpora)
        raise UsageError(
            "no dialogue is of a source that the recipe knows", str(judged[0]), f"sources: {known}; see --set corpora"
        )
    results: list[Result] = []
    differences: dict[str, dict[str, tuple[float, Array]]] = {}
    split = "" if all(_found(_FOLD, path) == KEPT for path in judged) else "folds"
    for corpus in [name for name in corpora.values() if name in logs]:
        setting, tasks = setting_of(settings[of_group[corpus]])
        dialogues = sorted(logs[corpus], key=lambda dialogue: dialogue.id)
        reference = "other annotators" if setting.reference == "consensus" else setting.reference
        units = f"{len(set(map(user_key, dialogues)))} users or dialogues"
        cells = {"corpus": corpus, "split": split, "reference": reference, "setting": units}
        for row, draws in _of_corpus(dialogues, [fold_of[d.id] for d in dialogues], tasks[0], setting):
            results.append(structs.replace(row, **cells))
            if row.baseline and row.metric == _MAIN[tasks[0].tasks[0]] and row.value is not None:
                differences.setdefault(row.baseline, {})[corpus] = row.value, draws
    for rival, wanted in pools.items():
        chosen = [differences[rival][name] for name in wanted if name in differences.get(rival, {})]
        if len(chosen) > 1:
            value = float(np.mean([value for value, _ in chosen]))
            cell = bootstrap(interval(value, np.mean([draws for _, draws in chosen], axis=0)).rounded())
            mean = Result(metric="main_metric", system=MODEL, baseline=rival, n=len(chosen), **cell)
            results.append(structs.replace(mean, corpus="mean over corpora", split=split))
    return results


def setting_of(options: Mapping[str, Any]) -> tuple[Setting, tuple[EvaluationTask, ...]]:
    """How a group is judged, and its task."""
    setting = Setting(
        reference=options["reference"],
        annotators=Setting().annotators if options["reference"] == "consensus" else None,
        ratings=options["ratings"],
        first_turn=options.get("first_turn", 0),
        resamples=_RESAMPLES,
    )
    return setting, about(evaluation_tasks(), [options["task"]])


def _of_corpus(
    dialogues: Sequence[Dialogue], folds: Sequence[str], task: EvaluationTask, setting: Setting
) -> Iterator[tuple[Result, Array]]:
    """Rows of one corpus, each with its value in each resample. folds: of each dialogue."""
    (joint,) = from_turn(pooled(about(evaluation_tasks(), [task.tasks[0]])), setting.first_turn)
    judgments = Protocol(dialogues, [joint], setting).judgments(joint).all
    metrics = (_MAIN[task.tasks[0]], *_OTHERS[task.tasks[0]])
    names = {a.annotator for d in dialogues for a in d.annotations if answered(a, joint)}
    trainings = sorted(name for name in names if name.startswith(f"{MODEL} "))
    people = [HUMAN] if any(judgment.person is not None for judgment in judgments) else []
    rivals = [*sorted(name for name in names if name.startswith(BASELINE)), *people]

    def measured(system: str) -> dict[str, Measured]:
        return measured_by_fold(system, metrics, judgments, dialogues, folds, joint, setting)

    ours = [measured(name) for name in trainings]
    seeds = " ".join(name.removeprefix(f"{MODEL} ") for name in trainings)
    for metric in metrics:
        yield _row(setting, metric, joint.name, [one[metric] for one in ours], seeds)
    for rival in rivals:
        theirs = measured(rival)
        name = (
            PERSON
            if rival == HUMAN
            else rival.removeprefix(BASELINE).removesuffix(str(SystemName("", on_given_goals=True)))
        )
        for metric in metrics:
            row, draws = _row(setting, metric, joint.name, [theirs[metric]], "")
            yield structs.replace(row, system=name), draws
            row, draws = _row(setting, metric, joint.name, [one[metric] for one in ours], seeds, theirs[metric])
            yield structs.replace(row, baseline=name), draws


def measured_by_fold(
    system: str,
    metrics: Sequence[str],
    judgments: Sequence[Judgment],
    dialogues: Sequence[Dialogue],
    folds: Sequence[str],
    task: EvaluationTask,
    setting: Setting,
) -> dict[str, Measured]:
    """The metrics of one system over all dialogues; those that order answers by score are means over folds. folds: of each dialogue."""
    owners = list(map(user_key, dialogues))
    items = items_of(judgments, dialogues, task, system)
    out = measure_all(metrics, items, judgments, setting, owners)
    for name in set(metrics) & set(_RANKED):
        parts = []
        for k, fold in enumerate(sorted(set(folds))):
            chosen = [j for j, judgment in enumerate(judgments) if folds[judgment.dialogue] == fold]
            of_fold = ([items[j] for j in chosen], [judgments[j] for j in chosen])
            parts.append(measure_all([name], *of_fold, structs.replace(setting, seed=setting.seed + k), owners)[name])
        value = float(np.mean([part.interval.value or 0.0 for part in parts]))
        draws = np.mean([part.draws for part in parts], axis=0)
        out[name] = dataclasses.replace(out[name], interval=interval(value, draws, setting.level), draws=draws)
    return out


def _row(
    setting: Setting, metric: str, task: str, measured: Sequence[Measured], seeds: str, less: Measured | None = None
) -> tuple[Result, Array]:
    """The mean over trainings, less a rival."""
    values = [one.interval.value or 0.0 for one in measured]
    draws = [one.draws for one in measured]
    if less is not None:
        values = [value - (less.interval.value or 0.0) for value in values]
        draws = [own - less.draws for own in draws]
    value, drawn = over_trainings(values, draws, setting.seed)
    cell = bootstrap(interval(value, drawn, setting.level).rounded())
    return Result(task=task, system=MODEL, metric=metric, seed=seeds, n=measured[0].items, **cell), drawn


def is_developed(dialogue: Dialogue, share: float) -> bool:
    """Whether choices were made on the dialogue: the part `develop` of `labelgen data split --seed 30`."""
    if not share:
        return False
    return part_of(dialogue, (Part(DEVELOP, share), Part("report", 1.0 - share)), 30) == DEVELOP


def _found(pattern: re.Pattern[str], path: Path) -> str:
    match = pattern.search(f"{path.as_posix()}/")
    return match[1] if match else ""
