"""Where goals broke, in simulated worlds: the linear members of cause and outcome, beside plain rivals and one annotator.

Worlds of training and test have other seeds, users and phrases. Goals are those of the truth, and systems see nothing of it besides. A
failed goal is right if its turn and its stage are. Intervals are over dialogues, with the worlds together.

On STAR the turn is known where exactly one reply of a failed goal is labeled as a failure; the labels are not read. The member comes from
a simulated world whose failures are all admitted, as those of people who play an assistant are."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace

from labelgen.confidence.resampling import Array, interval, resamples
from labelgen.data.dialogue import Dialogue, words_of_step
from labelgen.data.labels import AtGoal, AtTurn, Label, targets_of
from labelgen.data.log import Log
from labelgen.data.split import position, user_key
from labelgen.features.layout import Layout
from labelgen.model.build import make_tasks
from labelgen.model.linear import fit_linear
from labelgen.nn.linear_member import LinearMember
from labelgen.simulator.annotators import PEOPLE
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.world import WorldOptions
from labelgen.tasks import TaskOptions
from labelgen.tasks.cause import BEGINNINGS, Cause, step_words
from labelgen.verdicts.evidence import evidence_of, faulty_calls

from .results import Result

_STAGES = ("wake", "recognition", "understanding", "resolution", "result")
CONFIDENCES = ("asr_confidence", "nlu_confidence", "n-best margin", *(f"{s} confidence" for s in (*_STAGES, "slot")))
STEPS = (
    *(f"{stage} {what}" for stage in _STAGES for what in ("confidence", "error", "differs", "sounds alike")),
    *(
        "calls",
        "call",
        "final call",
        "arguments said",
        "arguments in response",
        "request in arguments",
        "tool said",
        "result in response",
    ),
)
_FAILING = re.compile("failed|unavailable|not_available|nothing_found|cannot_authenticate")
"""Action labels of STAR that say that something failed or is not available."""
_DEVELOP = 0.33
"""Share of STAR's users on whom the world of training was chosen; they are left out."""
_RESAMPLES = 1000

Place = tuple[int, str, str | None] | None
"""Turn, stage and step that a system names for a goal; None for no step."""
Rule = Callable[[Dialogue, Sequence[int]], Place]
Metric = Callable[["Sequence[Case]", str], Callable[[Array], Array]]


@dataclass(frozen=True)
class Case:
    """A failed goal. key: of its dialogue. named: what each system names. true: by the truth."""

    key: tuple[int, str]
    true: tuple[int, str, str | None]
    named: Mapping[str, Place]


def world(options: Mapping[str, Any], seed: int, dialogues: int, phrases: str) -> list[Dialogue]:
    """The dialogues of one simulated world."""
    return list(simulate(dialogues, seed, WorldOptions(causes=1.0, phrases=phrases, **options)))  # type: ignore[arg-type]


def fitted(log: Sequence[Dialogue], name: str, ngrams: int, leave_out: Sequence[str] = ()) -> LinearMember:
    """The linear member of a task, fitted on the truth of a log. leave_out: facts that are not read."""
    tasks = make_tasks({name: TaskOptions(ngrams=ngrams)}, {})
    learned = [replace(d, targets=targets_of(a)) for d in log if (a := d.annotation(TRUTH)) is not None]
    fits = fit_linear(tasks, learned, leave_out=leave_out)[name]
    task: Any = tasks[name]
    member = LinearMember({unit: fit.settings for unit, fit in fits.items()}, task.names, 1.0, task.contents)
    for unit, fit in fits.items():
        member.fill(unit, fit.map)
    return member


def answers_of(
    members: Mapping[str, LinearMember], log: Sequence[Dialogue], goals: Sequence[Sequence[tuple[int, ...]]] = ()
) -> list[dict[int, Label]]:
    """The causes at the turns of each dialogue, on these goals, by default the true ones. members: by task, that of causes last."""
    goals = goals or [[goal for goal, _ in true_goals(dialogue)] for dialogue in log]
    none, unknown, turns = torch.zeros(0, dtype=torch.long), (None,) * len(log), tuple(len(d.turns) for d in log)
    layout = Layout(turns, unknown, unknown, tuple(map(tuple, goals)), *(none,) * 5, (), none, dialogues=tuple(log))
    found: Sequence[Any] = ()
    for name, member in members.items():
        task: Any = make_tasks({name: TaskOptions()}, {})[name]
        places = task.places(layout)
        scores = member(torch.zeros(len(places), len(task.names)), places, layout, False)
        found = task.decode(scores, layout, member.factors(places))
        layout = task.inform(found, layout)
    return [{label.at.turn: label for label in of_dialogue} for of_dialogue in found]


def true_goals(dialogue: Dialogue) -> list[tuple[tuple[int, ...], bool]]:
    """Turns of each goal, and whether it failed."""
    truth = dialogue.annotation(TRUTH)
    labels = truth.labels if truth else ()
    return [(x.at.turns, x.name == "failure") for x in labels if x.task == "outcome" and isinstance(x.at, AtGoal)]


def causes_by(dialogue: Dialogue, annotator: str) -> dict[int, Label]:
    """The cause at each turn."""
    annotation = dialogue.annotation(annotator)
    labels = annotation.labels if annotation else ()
    return {x.at.turn: x for x in labels if x.task == Cause.name}  # type: ignore[union-attr]


def beginning(causes: Mapping[int, Label], goal: Sequence[int]) -> Place:
    """The first turn of a goal at which a failure begins, its stage and step."""
    begins = next((t for t in goal if t in causes and causes[t].name in BEGINNINGS), None)
    return None if begins is None else (begins, causes[begins].name, causes[begins].value)  # type: ignore[return-value]


def most_probable(dialogue: Dialogue, labels: Mapping[int, Label], goal: Sequence[int]) -> tuple[int, str, str | None]:
    """The turn and stage of a goal with the most probability, given that it failed, and the step."""
    pairs = [(p, -t, name) for t in goal for name, p in labels[t].distribution or () if name in BEGINNINGS]
    _, turn, name = max(pairs)
    return -turn, name, step_words(dialogue.turns[-turn], name)


def first_faulty_call(dialogue: Dialogue, goal: Sequence[int]) -> Place:
    """Rule: the first call of the goal that looks wrong by itself; None where none does."""
    calls = ((t, k, name) for t in goal for name, k in faulty_calls(dialogue.turns[t]).items() if k is not None)
    t, k, name = min(calls, default=(goal[0], -1, ""))
    return (t, name, words_of_step(k, dialogue.turns[t].steps[k])) if name else None


def lowest_confidence(dialogue: Dialogue, goal: Sequence[int]) -> Place:
    """Rule: the turn and stage with the lowest confidence that the log has."""
    turns = [(t, dialogue.turns[t]) for t in goal]
    known: list[tuple[float | None, int, str]] = [(turn.asr_confidence, t, "recognition") for t, turn in turns]
    known += [(turn.nlu_confidence, t, "understanding") for t, turn in turns]
    known += [
        (step.confidence, t, step.kind.replace("resolution", "entity")) for t, turn in turns for step in turn.steps
    ]
    turn_and_stage = min((one for one in known if one[0] is not None), default=(0.0,))[1:]
    return (*turn_and_stage, None) if turn_and_stage else None


def measure(
    options: Mapping[str, Any], seeds: Sequence[int], train: int, test: int, ngrams: int, systems: Sequence[str]
) -> Iterator[Result]:
    """Rows of all systems over all worlds."""
    cases: list[Case] = []
    recovered: list[bool] = []
    rules: dict[str, Rule] = {"lowest confidence": lowest_confidence}
    for seed in seeds:
        log = world(options, 1000 + seed, train, "even")
        held_out = world(options, 2000 + seed, test, "odd")
        outcome = fitted(log, "outcome", ngrams)
        if options.get("agent"):
            often = Counter(x.name for d in log for x in causes_by(d, TRUTH).values() if x.name in BEGINNINGS)
            frequent = often.most_common(1)[0][0]
            most_frequent = partial(lambda name, _, goal: (goal[0], name, None), frequent)
            rules = {"most frequent stage": most_frequent, "first faulty call": first_faulty_call}
        contents = (
            evidence_of(d, [g for g, _ in true_goals(d)], [AtTurn(t) for t in causes_by(d, TRUTH)]) for d in log
        )
        facts = {fact.partition("=")[0] for of in islice(contents, 300) for one in of for fact in one.categories}
        ablations = {
            "model": (),
            "model without confidences": CONFIDENCES,
            "model without steps": STEPS,
            "text alone": tuple(facts),
        }
        answers = {
            name: answers_of({"outcome": outcome, Cause.name: fitted(log, Cause.name, ngrams, left_out)}, held_out)
            for name, left_out in ablations.items()
            if name in systems
        }
        for k, dialogue in enumerate(held_out):
            found = {name: by[k] for name, by in answers.items()}
            cases += _cases(seed, dialogue, found, rules)
            truth = causes_by(dialogue, TRUTH)
            recovered += [found["model"][t].name in BEGINNINGS for t, x in truth.items() if x.name == "recovered"]
    yield from _rows(cases, "simulated", {"turn_and_stage": _right(2), "stage_macro_f1": _stage_f1}, seeds)
    if stepped := [_without_people(case) for case in cases if case.true[2] is not None]:
        yield from _rows(stepped, "simulated", {"step_named": _right(3)}, seeds)
    row = partial(Result, corpus="simulated", metric="recovered_called_failure", system="model", task=Cause.name)
    yield row(value=fmean(recovered), n=len(recovered))


def _cases(
    seed: int, dialogue: Dialogue, found: Mapping[str, Mapping[int, Label]], rules: Mapping[str, Rule]
) -> Iterator[Case]:
    truth = causes_by(dialogue, TRUTH)
    people = [causes_by(dialogue, person.name) for person in PEOPLE]
    for goal, failed in true_goals(dialogue):
        true = beginning(truth, goal)
        if not failed or true is None:
            continue
        named: dict[str, Place] = {name: most_probable(dialogue, labels, goal) for name, labels in found.items()}
        named["model as labeled"] = beginning(found["model"], goal)
        named |= {name: rule(dialogue, goal) for name, rule in rules.items()}
        for k, one in enumerate(people):
            named[f"annotator {k + 1}"] = beginning(one, goal)
        named["model with the turn given"] = most_probable(dialogue, found["model"], true[:1])
        yield Case((seed, dialogue.id), true, named)


def _without_people(case: Case) -> Case:
    return Case(case.key, case.true, {k: place for k, place in case.named.items() if not k.startswith("annotator")})


def _rows(cases: Sequence[Case], corpus: str, metrics: Mapping[str, Metric], seeds: Sequence[int]) -> Iterator[Result]:
    """Each system, and how much better the model is; annotators as their mean."""
    keys = {key: k for k, key in enumerate(sorted({case.key for case in cases}))}
    times = resamples(len(keys), _RESAMPLES, 0)[:, [keys[case.key] for case in cases]]
    row = partial(Result, corpus=corpus, task=Cause.name, seed=" ".join(map(str, seeds)), n=len(cases))
    times = np.concatenate([np.ones((1, len(cases))), times])
    for metric, function in metrics.items():
        values = {system: function(cases, system)(times) for system in cases[0].named}
        people = [values.pop(system) for system in list(values) if system.startswith("annotator")]
        if people:
            values["one annotator"] = np.mean(people, axis=0)
        differences = {("model", other): values["model"] - values[other] for other in values if other != "model"}
        for (system, baseline), found in {**{(one, ""): of for one, of in values.items()}, **differences}.items():
            at = interval(float(found[0]), found[1:])
            named = partial(row, metric=metric, system=system, baseline=baseline, interval="bootstrap")
            yield named(value=at.value, low=at.low, high=at.high)


def _right(parts: int) -> Metric:
    """Share of goals whose turn (1) or turn and stage (2) are named."""

    def share(cases: Sequence[Case], system: str) -> Callable[[Array], Array]:
        right = np.array([(case.named[system] or ())[:parts] == case.true[:parts] for case in cases], dtype=float)
        return lambda times: times @ right / times.sum(axis=1)

    return share


def _stage_f1(cases: Sequence[Case], system: str) -> Callable[[Array], Array]:
    """Macro F1 of the stages of failed goals, over the stages of the truth."""
    true = np.array([case.true[1] for case in cases])
    named = np.array([(case.named[system] or (0, "none"))[1] for case in cases])

    def macro(times: Array) -> Array:
        scores = []
        for name in np.unique(true):
            both = times @ ((true == name) & (named == name)).astype(float)
            either = times @ (true == name).astype(float) + times @ (named == name).astype(float)
            scores.append(2 * both / np.where(either > 0, either, np.nan))
        return np.nanmean(scores, axis=0)  # type: ignore[no-any-return]

    return macro


def star(log: Sequence[Path], options: Mapping[str, Any], seeds: Sequence[int], train: int) -> Iterator[Result]:
    """Rows of the turn that the member names on STAR, beside the first reply that says sorry, else the last one."""
    asked = (d for d in Log(list(log), "star") if position(17, user_key(d)) >= _DEVELOP)
    kept = [found for d in asked if (found := _failing_reply(d)) is not None]
    cases = []
    for seed in seeds:
        member = fitted(world(options, 3000 + seed, train, "all"), Cause.name, 1)
        answers = answers_of({Cause.name: member}, [d for d, _, _ in kept], [(goal,) for _, goal, _ in kept])
        for (dialogue, goal, turn), by in zip(kept, answers, strict=True):
            sorry = (t for t in goal if re.search(r"\bsorry\b", dialogue.turns[t].response, re.IGNORECASE))
            first = (next(sorry, goal[-1]), "", None)
            named = {"model": most_probable(dialogue, by, goal), "first reply that says sorry": first}
            cases.append(Case((0, user_key(dialogue)), (turn, "", None), named))
    yield from _rows(cases, "STAR", {"turn_named": _right(1)}, seeds)


def _failing_reply(dialogue: Dialogue) -> tuple[Dialogue, tuple[int, ...], int] | None:
    """A dialogue without action labels and answers, its failed goal, and the one turn whose reply failed; None for any other dialogue."""
    labels = user.labels if (user := dialogue.annotation("user")) else ()
    goal = next((x.at.turns for x in labels if x.name == "failure" and isinstance(x.at, AtGoal)), ())
    failing = [t for t in goal if any(_FAILING.search(c.value) for c in dialogue.turns[t].categories)]
    if len(failing) != 1:
        return None
    turns = tuple(replace(turn, categories=()) for turn in dialogue.turns)
    return replace(dialogue, turns=turns, feedback=(), annotations=()), goal, failing[0]
