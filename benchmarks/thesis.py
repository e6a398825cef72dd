"""The thesis: labels above a threshold are better than one annotator, and still label far more.

Everybody is judged against the consensus of exactly three other annotators (leave-one-annotator-out). The model's predictions are of folds that
it did not learn from. Users, or dialogues of nobody, are divided by a hash: a third finds thresholds, their order and mean probabilities,
the rest proves them (Learn-then-Test, fixed sequence: at the first that fails, testing stops). p-values are of a bootstrap over users.

All classes: balanced accuracy, the mean of the recalls of the three classes among what is accepted, less that of the person on everything. A
class that is not accepted at all has recall 0. The label is the class whose probability exceeds most what the system gives it in the mean, and that
ratio is the confidence. Bad: the precision of what is called bad is certainly above the person's, and the recall certainly not below."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from msgspec import structs
from msgspec.structs import replace
from numpy.typing import NDArray

from labelgen.agreement.consensus import CONSENSUS
from labelgen.confidence.resampling import Array, interval, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.data.split import position, user_key
from labelgen.evaluation.protocol import Protocol
from labelgen.metrics.results import BASELINE
from labelgen.tasks.evaluation import EvaluationTask, about, answered, evaluation_tasks, from_turn

from .curves import ACCEPTED
from .people import MODEL, is_developed, setting_of
from .results import Result, bootstrap
from .rows import PERSON, pooled

OTHERS = 3
NAMES = ("bad", "fair", "good")
FIND = 1 / 3
LEVEL = 0.025
"""Of a one-sided test: what passes has a two-sided 95% interval that excludes zero."""
RIVAL = BASELINE + "words and actions"
COVERAGES = tuple(k / 20 for k in range(2, 21))
FLAGGED = tuple(k / 50 for k in range(1, 31))
"""Shares of all answers that are called bad."""
_RESAMPLES = 2000
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Answers of one part. unit: [N], whose each is; true, person: [N], index of the class; probabilities: [N, 3] of each system."""

    unit: Index
    true: Index
    person: Index
    probabilities: Mapping[str, Array]
    units: int

    def of(self, wanted: NDArray[np.bool_]) -> "Answers":
        """Those of some units. wanted: [units]."""
        kept, number = wanted[self.unit], np.cumsum(wanted) - 1
        scores = {name: table[kept] for name, table in self.probabilities.items()}
        return Answers(number[self.unit[kept]], self.true[kept], self.person[kept], scores, int(wanted.sum()))

    def sums(self, *columns: Array) -> Array:
        """[units, columns]: sums of each column over the answers of a unit."""
        return np.stack([np.bincount(self.unit, column, self.units) for column in columns], axis=1)

    def recalls(self, given: Index, accepted: NDArray[np.bool_]) -> Array:
        """[units, 6]: of each class, right answers and answers, among what is accepted."""
        own = [accepted & (self.true == k) for k in range(len(NAMES))]
        return self.sums(*[x & (given == k) for k, x in enumerate(own)], *own)

    def flags(self, flagged: NDArray[np.bool_]) -> Array:
        """[units, 3]: rightly called bad, called bad, and bad."""
        bad = self.true == 0
        return self.sums(flagged & bad, flagged, bad)  # type: ignore[arg-type]


def balanced_accuracy(sums: Array) -> Array:
    """[R] of sums [R, 6]."""
    right, all_of = sums[:, : len(NAMES)], sums[:, len(NAMES) :]
    shares: Array = (right / np.maximum(all_of, 1)).mean(axis=1)
    return shares


def precision(sums: Array) -> Array:
    shares: Array = sums[:, 0] / np.maximum(sums[:, 1], 1)
    return shares


def recall(sums: Array) -> Array:
    shares: Array = sums[:, 0] / np.maximum(sums[:, 2], 1)
    return shares


@dataclass(frozen=True)
class Trial:
    """A threshold on one part: draws of what the model gains over the person, one row for each requirement; value first, then resamples."""

    threshold: float
    gains: tuple[Array, ...]

    @property
    def strength(self) -> float:
        """The least mean over standard deviation of its requirements."""
        return min(float(draws[0] / max(draws[1:].std(), 1e-9)) for draws in self.gains)

    @property
    def p_value(self) -> float:
        """One-sided; of several requirements the largest (intersection-union test)."""
        return max(float((1 + (draws[1:] <= 0).sum()) / len(draws)) for draws in self.gains)


class Part:
    """One part with its resamples of units. The first row of times takes each unit once."""

    def __init__(self, answers: Answers, system: str, frequencies: Array, seed: int) -> None:
        self.answers = answers
        drawn = resamples(answers.units, _RESAMPLES, seed)
        self.times = np.vstack([np.ones((1, answers.units)), drawn])
        ratios = answers.probabilities[system] / frequencies
        ratios = ratios / np.maximum(ratios.sum(axis=1, keepdims=True), 1e-12)
        self.given, self.confidence = ratios.argmax(axis=1), ratios.max(axis=1)
        self.bad = answers.probabilities[system][:, 0]
        self.everything = np.ones(len(answers.true), dtype=bool)
        self.person = self.times @ answers.recalls(answers.person, self.everything)
        self.person_flags = self.times @ answers.flags(answers.person == 0)

    def accuracy(self, threshold: float) -> Array:
        return balanced_accuracy(self.times @ self.answers.recalls(self.given, self.confidence >= threshold))

    def person_among(self, threshold: float) -> Array:
        """The person on what the model accepts."""
        return balanced_accuracy(self.times @ self.answers.recalls(self.answers.person, self.confidence >= threshold))

    def all_classes(self, threshold: float) -> Trial:
        return Trial(threshold, (self.accuracy(threshold) - balanced_accuracy(self.person),))

    def of_bad(self, threshold: float) -> Trial:
        flags = self.times @ self.answers.flags(self.bad >= threshold)
        return Trial(
            threshold, (precision(flags) - precision(self.person_flags), recall(flags) - recall(self.person_flags))
        )


def proven(trials: Sequence[Trial], found: Sequence[Trial], level: float) -> list[Trial]:
    """Fixed sequence: the trials of the proving part that pass, in the order of their strength where they were found, up to the first that fails.

    trials, found: the same thresholds."""
    passed = []
    for k in sorted(range(len(found)), key=lambda k: -found[k].strength):
        if trials[k].p_value > level:
            break
        passed.append(trials[k])
    return passed


def rows(
    judged: Sequence[Path],
    corpora: Mapping[str, str],
    settings: Mapping[str, Mapping[str, Any]],
    develop: Mapping[str, float],
) -> list[Result]:
    """Rows of each people-judged corpus. corpora: source of a dialogue -> name of its corpus. develop: see benchmarks/people.py."""
    logs: dict[str, list[Dialogue]] = {}
    for dialogue in Log(list(judged)):
        source = dialogue.source or ""
        group = source.partition("/")[0]
        if source not in corpora or settings[group]["reference"] != CONSENSUS:
            continue
        if not is_developed(dialogue, develop.get(group, 0.0)):
            logs.setdefault(corpora[source], []).append(dialogue)
    made: list[Result] = []
    for corpus in [name for name in corpora.values() if name in logs]:
        group = next(source for source, name in corpora.items() if name == corpus).partition("/")[0]
        answers, names = read(logs[corpus], settings[group])
        finds = np.array([position(7, f"thesis {name}") < FIND for name in names])
        systems = sorted(answers.probabilities, key=lambda name: name.startswith(BASELINE))
        for system in systems:
            shown = system.removeprefix(BASELINE) if system.startswith(BASELINE) else MODEL
            of_corpus = _of_corpus(answers.of(finds), answers.of(~finds), system, shown, len(logs))
            cells = {"corpus": corpus, "reference": f"{OTHERS} other annotators"}
            made += [structs.replace(row, **cells) for row in of_corpus if system == systems[0] or row.system != PERSON]
    return made


def read(dialogues: Sequence[Dialogue], options: Mapping[str, Any]) -> tuple[Answers, list[str]]:
    """The answers of person and systems on what three others agree about, and the names of the units."""
    setting, tasks = setting_of(options)
    (joint,) = from_turn(pooled(about(evaluation_tasks(), [tasks[0].tasks[0]])), setting.first_turn)
    dialogues = [four for d in dialogues if (four := _of_four(d, joint)) is not None]
    known = [{a.annotator: answered(a, joint) for a in d.annotations if a.kind != "person"} for d in dialogues]
    names = {name for of in known for name in of}
    # Of several trainings the first, and of the rivals one.
    systems = [*sorted(name for name in names if name.startswith(MODEL))[:1], *sorted(names & {RIVAL})]
    units: dict[str, int] = {}
    kept: list[tuple[int, int, int]] = []
    scores: dict[str, list[list[float]]] = {name: [] for name in systems}
    for judgment in Protocol(dialogues, [joint], setting).judgments(joint).all:
        assert judgment.person is not None
        assert judgment.others == OTHERS
        for at, labels in judgment.reference.items():
            said = judgment.person.get(at)
            distributions = [known[judgment.dialogue].get(name, {}).get(at) for name in systems]
            if not labels or not said or not all(distributions):
                continue
            unit = units.setdefault(user_key(dialogues[judgment.dialogue]), len(units))
            kept.append((unit, NAMES.index(labels[0].name), NAMES.index(said[0].name)))
            for name, given in zip(systems, distributions, strict=True):
                odds = dict(given[0].distribution or [(given[0].name, 1.0)]) if given else {}
                scores[name].append([odds.get(one, 0.0) for one in NAMES])
    unit, true, person = np.array(kept).T
    return Answers(unit, true, person, {n: np.array(s) for n, s in scores.items()}, len(units)), list(units)


def _of_four(dialogue: Dialogue, task: EvaluationTask) -> Dialogue | None:
    """The dialogue with four people, drawn by its id, so that each is judged by three others; None where fewer answered."""
    people = [a for a in dialogue.annotations if a.kind == "person" and answered(a, task)]
    if len(people) <= OTHERS:
        return None
    drawn = Random(dialogue.id).sample(people, OTHERS + 1)
    systems = [a for a in dialogue.annotations if a.annotator.startswith((MODEL, BASELINE))]
    return replace(dialogue, annotations=(*drawn, *systems))


def _of_corpus(find: Answers, prove: Answers, system: str, shown: str, corpora: int) -> Iterator[Result]:
    frequencies = find.probabilities[system].mean(axis=0) + 1e-6
    finding, proving = Part(find, system, frequencies, 0), Part(prove, system, frequencies, 1)
    split = f"proving part, {prove.units} units"

    def row(name: str, metric: str, draws: Array, setting: str = "", baseline: str = "") -> Result:
        cell = bootstrap(interval(float(draws[0]), draws[1:]).rounded())
        about: dict[str, Any] = {
            "split": split,
            "setting": setting,
            "baseline": baseline,
            "task": "quality",
            "n": len(prove.true),
        }
        return Result(system=name, metric=metric, seed="0" if name == MODEL else "", **about, **cell)

    person = balanced_accuracy(proving.person)
    yield row(PERSON, "balanced_accuracy", person)
    yield row(PERSON, "bad_precision", precision(proving.person_flags))
    yield row(PERSON, "bad_recall", recall(proving.person_flags))
    grid = [float(np.quantile(finding.confidence, 1 - share, method="lower")) for share in COVERAGES]
    for share, threshold in zip(COVERAGES, grid, strict=True):
        yield row(shown, "balanced_accuracy", proving.accuracy(threshold), ACCEPTED.format(share))
    yield from (_proofs(finding, proving, grid, corpora, shown, row))


def _proofs(
    finding: Part, proving: Part, grid: Sequence[float], corpora: int, shown: str, row: Any
) -> Iterator[Result]:
    def share(threshold: float) -> float:
        return float((proving.confidence >= threshold).mean())

    found, tried = [finding.all_classes(t) for t in grid], [proving.all_classes(t) for t in grid]
    for level, words in (
        (LEVEL, "each corpus by itself"),
        (LEVEL / (2 * corpora), f"both questions on all {corpora} corpora together"),
    ):
        passed = proven(tried, found, level)
        widest = max((share(trial.threshold) for trial in passed), default=0.0)
        yield row(shown, "proven_coverage", np.array([widest]), words)
        if passed and level == LEVEL:
            best = max(passed, key=lambda trial: share(trial.threshold))
            yield row(shown, "balanced_accuracy", best.gains[0], "at the proven coverage", PERSON)
            among = proving.accuracy(best.threshold) - proving.person_among(best.threshold)
            yield row(shown, "balanced_accuracy", among, "at the proven coverage, both on what is accepted", PERSON)
    flags = [float(np.quantile(finding.bad, 1 - share, method="lower")) for share in FLAGGED]
    found, tried = [finding.of_bad(t) for t in flags], [proving.of_bad(t) for t in flags]
    for level, words in (
        (LEVEL, "each corpus by itself"),
        (LEVEL / (2 * corpora), f"both questions on all {corpora} corpora together"),
    ):
        yield row(shown, "bad_proven", np.array([float(bool(proven(tried, found, level)))]), words)
    first = tried[max(range(len(found)), key=lambda k: found[k].strength)]
    for name, draws in zip(("bad_precision", "bad_recall"), first.gains, strict=True):
        yield row(shown, name, draws, "at the threshold found", PERSON)
