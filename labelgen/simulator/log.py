"""Simulated log: dialogues of a voice assistant with known ground truth.

Each dialogue is a pure function of the log's seed, its index and the options. So a log can be made in parts, a longer log starts
with the shorter one, and the same seed gives the same bytes.

Failures are recorded in `extra`, which no model reads. A turn's `faults` names the stages that failed, in order, harmful or not; its
`repeats` is the turn whose request it repeats. A dialogue's `causes` lists the failed goals: each with its first turn, the earliest turn with a mistake that was not repaired, and the
first stage that failed there; the last two are null if the user gave up without any.

docs/explanation/simulation.md defines the labels, and says what is realistic and what is not."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

import msgspec
from msgspec.structs import replace

from labelgen.base.options import WholeNumber
from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.label_sets import LabelName, Sources
from labelgen.data.labels import REQUEST, TRANSCRIPTION, Annotation, AtTurn, Label
from labelgen.simulator.annotators import (
    CALL_CAUSES,
    CAUSES,
    PEOPLE,
    PRICE_PER_TURN,
    Marks,
    TurnMarks,
    annotate,
    look,
    stricter,
    without_some_causes,
)
from labelgen.simulator.conversation import Talk, converse, overall
from labelgen.simulator.users import User, user_of
from labelgen.simulator.vocabulary import INTENTS, SLOTS, Draws
from labelgen.simulator.world import WorldOptions

STAGES = ("wake", "recognition", "intent", "slot", "entity", "result")
"""Stages of the pipeline: wake word, speech recognition, understanding of intents and of slots, entity lookup, execution."""


def with_faults(talk: Talk) -> tuple[Turn, ...]:
    """Turns of a dialogue, with their failed stages, and the turn that each repeats."""
    known = (
        ({"faults": truth.faults} if truth.faults else {}) | ({"repeats": talk.repeats[t]} if t in talk.repeats else {})
        for t, truth in enumerate(talk.truths)
    )
    return tuple(
        replace(turn, extra=_text(fields)) if fields else turn for turn, fields in zip(talk.turns, known, strict=True)
    )


def causes(talk: Talk) -> str | None:
    """The `extra` of a dialogue; None without a failed goal."""
    failed: Sequence[dict[str, object]] = [
        {
            "goal": goal.turns[0],
            "turn": goal.broken_at,
            "stage": None if goal.broken_at is None else next(iter(talk.truths[goal.broken_at].faults), None),
        }
        for goal in sorted(talk.goals, key=lambda goal: goal.turns)
        if goal.failed
    ]
    return _text({"causes": failed}) if failed else None


def _text(fields: Mapping[str, object]) -> str:
    return msgspec.json.encode(fields).decode()


SOURCE = "simulated"
TRUTH = "truth"
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_INTERVAL_S = 97


def simulate(dialogues: int, seed: int, options: WorldOptions | None = None) -> Iterator[Dialogue]:
    """The first `dialogues` dialogues of the log with that seed."""
    for index in range(dialogues):
        yield dialogue_at(seed, index, options)


def labels() -> Sources:
    """Names and descriptions of the grammar's intents and slots."""
    return {
        SOURCE: {
            "intents": tuple(LabelName(name, INTENTS[name]) for name in sorted(INTENTS)),
            "slots": tuple(LabelName(name, SLOTS[name]) for name in sorted(SLOTS)),
        }
    }


def dialogue_at(seed: int, index: int, options: WorldOptions | None = None) -> Dialogue:
    """Dialogue number `index`, from 0, of the log with that seed."""
    options = options or WorldOptions()
    if options.agent:
        options = typed(options)
    rng = Draws(f"dialogue/{seed}/{index}")
    rng.phrases, rng.world = options.phrases, str(seed)
    who = _user(seed, int(rng.random() * options.users))
    talk = converse(who, options, rng)
    start = _FIRST_DAY + timedelta(seconds=_INTERVAL_S * index + int(rng.random() * _INTERVAL_S))
    identity = f"sim-{seed}-{index:06d}"
    marks = _truth(talk, options.causes and Random(f"causes/{seed}/{index}").random() < options.causes)
    feedback: tuple[Feedback, ...] = ()
    if talk.rating is not None:
        feedback = (Feedback(kind="rating", rating=float(talk.rating), scale=(1.0, 5.0)),)
    return Dialogue(
        id=identity,
        turns=_with_gaps(with_faults(talk), options, Random(f"missing/{seed}/{index}")),
        user=who.id,
        start=start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        locale="en-US",
        device=who.device,
        source=SOURCE,
        feedback=feedback,
        annotations=(
            _transcribed(annotate(marks, TRUTH, "truth"), talk, seed, index),
            *_people(marks, dialogue_key=f"{seed}/{index}", talk=talk, options=options),
        ),
        extra=causes(talk),
    )


@lru_cache(maxsize=4096)
def _user(seed: int, number: int) -> User:
    return user_of(seed, number)


def typed(options: WorldOptions) -> WorldOptions:
    """The options of an agent's log: nobody speaks, and steps are calls alone."""
    return dataclasses.replace(options, wake_missed=0.0, misheard=0.0, false_wakes=0.0, steps=False)


def _truth(talk: Talk, with_causes: bool | float = False) -> Marks:
    goals = sorted((tuple(goal.turns), goal.outcome()) for goal in talk.goals)
    named = _causes(talk) if with_causes else {}
    turns = tuple(
        TurnMarks(truth.intents, truth.slots, truth.quality, name, truth.step if name == truth.stage else None)
        for truth, name in zip(talk.truths, map(named.get, range(len(talk.truths))), strict=True)
    )
    return Marks(tuple(goals), overall(talk), turns)


def _causes(talk: Talk) -> dict[int, str]:
    """The name of the task cause at each turn of a goal."""
    named = {t: "recovered" if t in talk.recovered else "none" for goal in talk.goals for t in goal.turns}
    for goal in talk.goals:
        if goal.failed and goal.broken_at is not None and (stage := talk.truths[goal.broken_at].stage):
            named[goal.broken_at] = stage
    return named


def _with_gaps(turns: Sequence[Turn], options: WorldOptions, rng: Random) -> tuple[Turn, ...]:
    """The turns without some of what a log may have: each field and step, or of an agent all fields and the result of each call."""
    gaps = {"asr_confidence": None, "nlu_confidence": None, "hypothesis": None, "nbest": (), "status": None}
    if options.agent:
        return tuple(
            replace(
                turn,
                **gaps,
                steps=tuple(
                    replace(step, result=None) if rng.random() < options.missing else step for step in turn.steps
                ),
            )
            for turn in turns
        )
    return tuple(
        replace(
            turn,
            **{name: empty for name, empty in gaps.items() if rng.random() < options.missing},
            steps=tuple(step for step in turn.steps if rng.random() >= options.missing),
        )
        for turn in turns
    )


def _transcribed(truth: Annotation, talk: Talk, seed: int, index: int) -> Annotation:
    if Random(f"transcribed/{seed}/{index}").random() >= talk.options.transcribed:
        return truth
    spoken = (
        Label(TRANSCRIPTION, AtTurn(t), REQUEST, None, turn_truth.spoken or turn.request)
        for t, (turn, turn_truth) in enumerate(zip(talk.turns, talk.truths, strict=True))
        if turn.request
    )
    return replace(truth, labels=(*truth.labels, *spoken))


def _people(marks: Marks, dialogue_key: str, talk: Talk, options: WorldOptions) -> tuple[Annotation, ...]:
    # Separate random numbers, so that annotators do not change the dialogues.
    rng = Random(f"people/{dialogue_key}")
    if rng.random() >= options.annotated:
        return ()
    requests = [turn.request for turn in talk.turns]
    price = round(PRICE_PER_TURN * len(requests), 2)
    views = {person.name: look(person, marks, requests, options.carelessness, rng) for person in PEOPLE}
    if options.strictness:
        scale = Random(f"strictness/{dialogue_key}")
        views = {name: stricter(view, options.strictness, scale) for name, view in views.items()}
    if any(turn.cause for turn in marks.turns):
        chance = Random(f"views of causes/{dialogue_key}")
        views = {
            person.name: without_some_causes(
                person,
                views[person.name],
                marks,
                options.carelessness,
                chance,
                CALL_CAUSES if options.agent else CAUSES,
            )
            for person in PEOPLE
        }
    return tuple(annotate(view, name, "person", price) for name, view in views.items())


@dataclass(frozen=True, kw_only=True)
class SimulationOptions(WorldOptions):
    """Simulate a log of a voice assistant, with its truth and the annotations of four people. The same seed gives the same log; a
    longer log begins with the shorter one."""

    dialogues: WholeNumber = 1000
    """number of dialogues"""
    seed: WholeNumber = 0
    """seed of everything random"""


def simulated_log(options: SimulationOptions) -> Iterator[Dialogue]:
    """The dialogues of the simulated log."""
    return simulate(options.dialogues, options.seed, options)
