"""What answers of users are worth on STAR: labels that were learned from implicit signals and a few answers, beside the rules and plain
rivals that learn from the same answers.

`few` keeps the answers of some goals as recorded feedback; `judge` labels goals of other users, whose answers nobody sees; `rows` measures
failures by the users' own answers."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
from msgspec import structs
from msgspec.structs import replace

from labelgen.confidence.resampling import interval, over_trainings
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, write_log
from labelgen.data.split import user_key
from labelgen.evaluation.baselines import default_baselines, fit_baselines
from labelgen.evaluation.measure import Measured
from labelgen.evaluation.protocol import Protocol
from labelgen.feedback.signal import hide_answers
from labelgen.metrics.results import BASELINE, Setting
from labelgen.model.annotator import Annotator
from labelgen.tasks.evaluation import about, evaluation_tasks, from_turn

from .corpora import USER, WATERFALL, outcomes_of, with_waterfall
from .people import measured_by_fold
from .results import Result, bootstrap
from .rows import pooled

LABELS = "labels"
ALL = "all"
RIVALS = ("words_and_actions", "average_of_rivals")
_METRICS = ("failure_auprc", "accuracy", "macro_f1")
_SETTING = Setting(reference=USER, annotators=None, resamples=1000)
_TASKS = about(evaluation_tasks(), ["outcome"])
_DRAW, _FOLD = re.compile(r"/draw-([^/]+)-([^/]+)/"), re.compile(r"/fold-([^/]+)/")


def few(log: Sequence[Path], draw: str, out: Sequence[Path]) -> None:
    """A folder with `train.jsonl`, the dialogues without annotations and without what users said explicitly, but for some drawn dialogues;
    and `answered.jsonl`, those with their annotations, for rivals. draw: their number, or "all", and the seed, as in `25-0`."""
    dialogues = [dialogue for dialogue in Log(list(log)) if outcomes_of(dialogue)]
    wanted, _, seed = draw.partition("-")
    count = len(dialogues) if wanted == ALL else int(wanted)
    drawn = set(Random(int(seed)).sample(range(len(dialogues)), count))
    out[0].mkdir(parents=True, exist_ok=True)
    train = (d if k in drawn else hide_answers(d) for k, d in enumerate(dialogues))
    write_log(out[0] / "train.jsonl", (replace(d, annotations=()) for d in train), force=True)
    write_log(out[0] / "answered.jsonl", (dialogues[k] for k in sorted(drawn)), force=True)


def judge(test: Sequence[Path], answered: Sequence[Path], model: Sequence[Path], out: Sequence[Path]) -> None:
    """Write the goals of the test users with the answers of labels, rules and rivals. Labels use the implicit signals of a dialogue."""
    dialogues = [with_waterfall(dialogue) for dialogue in Log(list(test)) if outcomes_of(dialogue)]
    training = list(Log(list(answered)))
    if training:
        baselines = fit_baselines(training, _TASKS, _SETTING, default_baselines(_SETTING.seed, RIVALS))
        dialogues = baselines.annotate(dialogues, USER)
    made = Annotator(model[0], name=LABELS, keep_weak=True).annotate([hide_answers(d) for d in dialogues], USER)
    judged = (replace(d, annotations=(*d.annotations, a)) for d, a in zip(dialogues, made, strict=True))
    write_log(out[0], judged, force=True)


def rows(judged: Sequence[Path]) -> list[Result]:
    """Every metric of every system by the number of answers, and the differences of labels from all others: means over folds and draws
    of answers; intervals over users, and over draws."""
    by_count: dict[str, dict[str, list[Path]]] = {}
    for path in judged:
        text = f"{path.as_posix()}/"
        ((count, seed),) = _DRAW.findall(text)
        by_count.setdefault(count, {}).setdefault(seed, []).append(path)
    return [row for count, by_seed in by_count.items() for row in _rows_of(count, by_seed)]


def _rows_of(count: str, by_seed: Mapping[str, Sequence[Path]]) -> Iterator[Result]:
    measured: dict[str, list[Mapping[str, Measured]]] = {}
    users: set[str] = set()
    for paths in by_seed.values():
        read = sorted(((d, _FOLD.findall(str(path))[0]) for path in paths for d in Log([path])), key=lambda x: x[0].id)
        dialogues = [dialogue for dialogue, _ in read]
        users.update(map(user_key, dialogues))
        (joint,) = from_turn(pooled(about(evaluation_tasks(), ["outcome"])), 0)
        judgments = Protocol(dialogues, [joint], _SETTING).judgments(joint).all
        for system in _systems(dialogues):
            one = measured_by_fold(system, _METRICS, judgments, dialogues, [fold for _, fold in read], joint, _SETTING)
            measured.setdefault(system, []).append(one)
    seeds = " ".join(by_seed)
    cells = {"corpus": "STAR", "split": "other users", "task": "outcome", "reference": USER}
    cells["setting"] = f"{count} answers, {len(users)} users"
    for metric in _METRICS:
        ours = [one[metric] for one in measured[LABELS]]
        for system, theirs in measured.items():
            of_system = [one[metric] for one in theirs]
            yield structs.replace(_row(metric, of_system), system=_plain(system), seed=seeds, **cells)
            if system != LABELS:
                less = _row(metric, ours, of_system)
                yield structs.replace(less, system=LABELS, baseline=_plain(system), seed=seeds, **cells)


def _systems(dialogues: Iterable[Dialogue]) -> list[str]:
    names = {a.annotator for d in dialogues for a in d.annotations}
    judged = [name for name in names if name in (LABELS, WATERFALL) or name.startswith(BASELINE)]
    return sorted(judged, key=lambda name: (name != LABELS, name))


def _plain(system: str) -> str:
    return system.removeprefix(BASELINE).split(" on ")[0]


def _row(metric: str, ours: Sequence[Measured], less: Sequence[Measured] = ()) -> Result:
    values = np.array([one.interval.value or 0.0 for one in ours])
    draws = [one.draws for one in ours]
    if less:
        values = values - np.array([one.interval.value or 0.0 for one in less])
        draws = [own - other.draws for own, other in zip(draws, less, strict=True)]
    value, drawn = over_trainings(list(values), draws, _SETTING.seed)
    return Result(
        system=LABELS, metric=metric, n=ours[0].items, **bootstrap(interval(value, drawn, _SETTING.level).rounded())
    )
