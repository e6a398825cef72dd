"""Where goals broke, in simulated worlds: the linear members of cause and outcome, beside plain rivals and one annotator.

Worlds of training and test have other seeds, users and phrases. Goals are those of the truth, and systems see nothing of it besides. A
failed goal is right if its turn and its stage are. Intervals are over dialogues, with the worlds together.

On STAR the turn is known where exactly one reply of a failed goal is labeled as a failure; the labels are not read. The member comes from
a simulated world whose failures are all admitted, as those of people who play an assistant are."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace

from labelgen.confidence.resampling import Array, interval, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Answers, AtGoal, Label, targets_of
from labelgen.data.log import Log
from labelgen.data.split import position, user_key
from labelgen.features.layout import Layout
from labelgen.model.build import make_tasks
from labelgen.model.linear import fit_linear
from labelgen.nn.linear_member import LinearMember
from labelgen.simulator.annotators import PEOPLE
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.world import WorldOptions
from labelgen.tasks.cause import BEGINNINGS, Cause
from labelgen.tasks.options import TaskOptions

from .results import Result

CONFIDENCES = (
    *("asr_confidence", "nlu_confidence", "slot confidence", "n-best margin"),
    *(f"{kind} confidence" for kind in ("wake", "recognition", "understanding", "resolution", "result")),
)
STEPS = tuple(
    f"{kind} {what}" for kind in ("wake", "resolution", "result") for what in ("confidence", "error", "differs")
)
_FAILING = re.compile("failed|unavailable|not_available|nothing_found|cannot_authenticate")
"""Action labels of STAR that say that something failed or is not available."""
_DEVELOP = 0.33
"""Share of STAR's users on whom the world of training was chosen; they are left out."""
_RESAMPLES = 1000

Goals = tuple[tuple[int, ...], ...]
Place = tuple[int, str] | None
"""Turn and stage that a system names for a goal."""


@dataclass(frozen=True)
class Case:
    """A failed goal. key: of its dialogue. named: what each system names. true: by the truth."""

    key: tuple[int, str]
    true: tuple[int, str]
    named: Mapping[str, Place]


def world(options: Mapping[str, Any], seed: int, dialogues: int, phrases: str) -> list[Dialogue]:
    """The dialogues of one simulated world."""
    return list(simulate(dialogues, seed, WorldOptions(causes=1.0, phrases=phrases, **options)))  # type: ignore[arg-type]


class Members:
    """The linear members of some tasks, fitted on the truth of a log. leave_out: facts that are not read. others: fitted before."""

    def __init__(
        self,
        log: Sequence[Dialogue],
        tasks: Sequence[str],
        ngrams: int,
        leave_out: Sequence[str] = (),
        others: Mapping[str, LinearMember] = {},
    ) -> None:
        self.tasks = make_tasks({name: TaskOptions(ngrams=ngrams) for name in tasks}, {})
        learned = [replace(d, targets=targets_of(a)) for d in log if (a := d.annotation(TRUTH)) is not None]
        self.members = dict(others)
        for name, by_unit in fit_linear(self.tasks, learned, leave_out=leave_out).items():
            task: Any = self.tasks[name]
            settings = {unit: fit.settings for unit, fit in by_unit.items()}
            member = self.members[name] = LinearMember(settings, task.names, 1.0, task.contents)
            for unit, fit in by_unit.items():
                member.fill(unit, fit.map)

    def answers(self, log: Sequence[Dialogue], goals: Sequence[Goals] | None = None) -> list[Answers]:
        """The labels of causes on these goals, by default the true ones."""
        layout, found = layout_of(log, goals), ()
        for name, member in self.members.items():
            task: Any = make_tasks({name: TaskOptions()}, {})[name]
            places = task.places(layout)
            scores = member(torch.zeros(len(places), len(task.names)), places, layout, False)
            found = task.decode(scores, layout, member.factors(places))
            layout = task.inform(found, layout)
        return list(found)


def layout_of(log: Sequence[Dialogue], goals: Sequence[Goals] | None = None) -> Layout:
    """The layout of dialogues with these goals, by default the true ones, without tokens."""
    none = torch.zeros(0, dtype=torch.long)
    if goals is None:
        goals = tuple(tuple(goal for goal, _ in true_goals(dialogue)) for dialogue in log)
    turns = tuple(len(dialogue.turns) for dialogue in log)
    return Layout(
        turns,
        (None,) * len(log),
        (None,) * len(log),
        tuple(goals),
        none,
        none,
        none,
        none,
        none,
        (),
        none,
        None,
        tuple(log),
    )


def true_goals(dialogue: Dialogue) -> list[tuple[tuple[int, ...], bool]]:
    """Turns of each goal, and whether it failed."""
    truth = dialogue.annotation(TRUTH)
    labels = truth.labels if truth else ()
    return [(x.at.turns, x.name == "failure") for x in labels if x.task == "outcome" and isinstance(x.at, AtGoal)]


def causes_by(dialogue: Dialogue, annotator: str) -> dict[int, str]:
    """The name of the cause at each turn."""
    annotation = dialogue.annotation(annotator)
    labels = annotation.labels if annotation else ()
    return {x.at.turn: x.name for x in labels if x.task == Cause.name}  # type: ignore[union-attr]


def beginning(causes: Mapping[int, str], goal: Sequence[int]) -> tuple[int, str] | None:
    """The first turn of a goal at which a failure begins, and the stage."""
    return next(((t, causes[t]) for t in goal if causes.get(t) in BEGINNINGS), None)


def most_probable(labels: Mapping[int, Label], goal: Sequence[int]) -> tuple[int, str]:
    """The turn and stage of a goal with the most probability, given that it failed."""
    pairs = [(p, -t, name) for t in goal for name, p in labels[t].distribution or () if name in BEGINNINGS]
    _, turn, name = max(pairs)
    return -turn, name


def lowest_confidence(dialogue: Dialogue, goal: Sequence[int]) -> tuple[int, str] | None:
    """Rule: the turn and stage with the lowest confidence that the log has."""
    kinds = {"recognition": "asr_confidence", "understanding": "nlu_confidence"}
    values = [(getattr(dialogue.turns[t], field), t, name) for t in goal for name, field in kinds.items()]
    for t in goal:
        for step in dialogue.turns[t].steps:
            values.append((step.confidence, t, {"resolution": "entity"}.get(step.kind, step.kind)))
    known = [value for value in values if value[0] is not None]
    return min(known)[1:] if known else None


def measure(
    options: Mapping[str, Any], seeds: Sequence[int], train: int, test: int, ngrams: int, systems: Sequence[str]
) -> Iterator[Result]:
    """Rows of all systems over all worlds."""
    cases: list[Case] = []
    recovered: dict[str, list[bool]] = {}
    for seed in seeds:
        log = world(options, 1000 + seed, train, "even")
        held_out = world(options, 2000 + seed, test, "odd")
        outcome = Members(log, ["outcome"], ngrams).members
        ablations = {
            "model": (),
            "model without confidences": CONFIDENCES,
            "model without steps": STEPS,
            "text alone": _all_facts(log),
        }
        answers = {
            name: Members(log, [Cause.name], ngrams, left_out, outcome).answers(held_out)
            for name, left_out in ablations.items()
            if name in systems
        }
        for k, dialogue in enumerate(held_out):
            found = {name: {x.at.turn: x for x in by[k] if isinstance(x, Label)} for name, by in answers.items()}  # type: ignore[union-attr]
            cases += _cases(seed, dialogue, found)
            for t, name in causes_by(dialogue, TRUTH).items():
                if name == "recovered":
                    for system, labels in found.items():
                        recovered.setdefault(system, []).append(labels[t].name in BEGINNINGS)
    yield from _rows(cases, " ".join(map(str, seeds)))
    for system, wrong in recovered.items():
        yield Result(
            corpus="simulated",
            metric="recovered_called_failure",
            system=system,
            task=Cause.name,
            value=fmean(wrong),
            n=len(wrong),
        )
    yield from _confusions(cases)


def _all_facts(log: Sequence[Dialogue]) -> list[str]:
    """The names of all facts but those of words in common."""
    task = Cause(make_tasks({"cause": TaskOptions()}, {})["cause"].labels, TaskOptions())
    names = set()
    for dialogue in log[:300]:
        goals = [goal for goal, _ in true_goals(dialogue)]
        places = [at for b, at in task.places(layout_of([dialogue]))]
        for content in task.contents(dialogue, goals, places, True):
            names |= {fact.partition("=")[0] for fact in content.categories}
    return sorted(names)


def _cases(seed: int, dialogue: Dialogue, found: Mapping[str, Mapping[int, Label]]) -> Iterator[Case]:
    truth = causes_by(dialogue, TRUTH)
    people = [causes_by(dialogue, person.name) for person in PEOPLE]
    for goal, failed in true_goals(dialogue):
        true = beginning(truth, goal)
        if not failed or true is None:
            continue
        named: dict[str, Place] = {name: most_probable(labels, goal) for name, labels in found.items()}
        named["model as labeled"] = beginning({t: x.name for t, x in found["model"].items()}, goal)
        named["lowest confidence"] = lowest_confidence(dialogue, goal)
        named["most frequent stage, last turn"] = goal[-1], "understanding"
        for k, one in enumerate(people):
            named[f"annotator {k + 1}"] = beginning(one, goal)
        given = found["model"][true[0]].distribution or ()
        named["model with the turn given"] = true[0], max((p, n) for n, p in given if n in BEGINNINGS)[1]
        yield Case((seed, dialogue.id), true, named)


def _rows(cases: Sequence[Case], seeds: str) -> Iterator[Result]:
    keys = sorted({case.key for case in cases})
    number = {key: k for k, key in enumerate(keys)}
    times = resamples(len(keys), _RESAMPLES, 0)[:, [number[case.key] for case in cases]]
    values: dict[tuple[str, str], tuple[float, Array]] = {}
    ones = np.ones((1, len(cases)))
    systems = list(cases[0].named)
    for system in systems:
        for metric, function in _METRICS.items():
            statistic = function(cases, system)
            values[system, metric] = float(statistic(ones)[0]), statistic(times)
    people = [system for system in systems if system.startswith("annotator ")]
    for metric in _METRICS:
        of_people = [values.pop((system, metric)) for system in people]
        values["one annotator", metric] = (
            fmean(value for value, _ in of_people),
            np.mean([draws for _, draws in of_people], axis=0),
        )
    for (system, metric), (value, draws) in values.items():
        common = {
            "corpus": "simulated",
            "metric": metric,
            "task": Cause.name,
            "seed": seeds,
            "interval": "bootstrap",
            "n": len(cases),
        }
        at = interval(value, draws)
        yield Result(system=system, value=value, low=at.low, high=at.high, **common)  # type: ignore[arg-type]
        if system != "model":
            best, of_best = values["model", metric]
            at = interval(best - value, of_best - draws)
            yield Result(system="model", baseline=system, value=best - value, low=at.low, high=at.high, **common)  # type: ignore[arg-type]


def _turn_and_stage(cases: Sequence[Case], system: str) -> Callable[[Array], Array]:
    right = np.array([case.named[system] == case.true for case in cases], dtype=float)
    return lambda times: times @ right / times.sum(axis=1)  # type: ignore[no-any-return]


def _stage_f1(cases: Sequence[Case], system: str) -> Callable[[Array], Array]:
    """Macro F1 of the stages of failed goals, over the stages of the truth."""
    true = np.array([case.true[1] for case in cases])
    named = np.array([(case.named[system] or (0, "none"))[1] for case in cases])

    def macro(times: Array) -> Array:
        scores = []
        for name in np.unique(true):
            both = times @ ((true == name) & (named == name)).astype(float)
            scores.append(2 * both / (times @ (true == name).astype(float) + times @ (named == name).astype(float)))
        return np.mean(scores, axis=0)  # type: ignore[no-any-return]

    return macro


_METRICS = {"turn_and_stage": _turn_and_stage, "stage_macro_f1": _stage_f1}


def _confusions(cases: Sequence[Case]) -> Iterator[Result]:
    """Counts of true and named stages, one row each."""
    counts: dict[tuple[str, str], int] = {}
    for case in cases:
        key = case.true[1], (case.named["model"] or (0, "none"))[1]
        counts[key] = counts.get(key, 0) + 1
    for (true, named), count in sorted(counts.items()):
        yield Result(
            corpus="simulated",
            metric="goals",
            system="model",
            task=Cause.name,
            setting=f"{true} named {named}",
            value=float(count),
        )


def star(log: Sequence[Path], options: Mapping[str, Any], seeds: Sequence[int], train: int) -> Iterator[Result]:
    """Rows of the turn that the member names on STAR, beside the first reply that says sorry, else the last one."""
    known = [case for d in Log(list(log), "star") if (case := _failing_reply(d)) is not None]
    kept = [case for case in known if position(17, user_key(case[0])) >= _DEVELOP]
    dialogues, goals, true = zip(*kept, strict=True)
    right = {"first reply that says sorry": np.array([_says_sorry(*case[:2]) == case[2] for case in kept], dtype=float)}
    named = []
    for seed in seeds:
        members = Members(world(options, 3000 + seed, train, "all"), [Cause.name], 1)
        answers = members.answers(dialogues, [(goal,) for goal in goals])
        labels = [{x.at.turn: x for x in by if isinstance(x, Label)} for by in answers]  # type: ignore[union-attr]
        named.append([most_probable(of, goal)[0] == t for of, goal, t in zip(labels, goals, true, strict=True)])
    right["model"] = np.mean(named, axis=0)
    users = sorted({user_key(d) for d in dialogues})
    times = resamples(len(users), _RESAMPLES, 0)[:, [users.index(user_key(d)) for d in dialogues]]
    draws = {system: times @ values / times.sum(axis=1) for system, values in right.items()}
    common = {"corpus": "STAR", "metric": "turn_named", "task": Cause.name, "interval": "bootstrap", "n": len(kept)}
    common["seed"] = " ".join(map(str, seeds))
    rule = "first reply that says sorry"
    for system, values in right.items():
        at = interval(float(values.mean()), draws[system])
        yield Result(system=system, value=float(values.mean()), low=at.low, high=at.high, **common)
    difference = float((right["model"] - right[rule]).mean())
    at = interval(difference, draws["model"] - draws[rule])
    yield Result(system="model", baseline=rule, value=difference, low=at.low, high=at.high, **common)


def _failing_reply(dialogue: Dialogue) -> tuple[Dialogue, tuple[int, ...], int] | None:
    """A dialogue without action labels and answers, its failed goal, and the one turn whose reply failed; None for any other dialogue."""
    user = dialogue.annotation("user")
    goal = (
        next((x.at.turns for x in user.labels if x.name == "failure" and isinstance(x.at, AtGoal)), ()) if user else ()
    )
    failing = [t for t in goal if any(_FAILING.search(c.value) for c in dialogue.turns[t].categories)]
    if len(failing) != 1:
        return None
    turns = tuple(replace(turn, categories=()) for turn in dialogue.turns)
    return replace(dialogue, turns=turns, feedback=(), annotations=()), goal, failing[0]


def _says_sorry(dialogue: Dialogue, goal: Sequence[int]) -> int:
    return next((t for t in goal if re.search(r"\bsorry\b", dialogue.turns[t].response, re.IGNORECASE)), goal[-1])
