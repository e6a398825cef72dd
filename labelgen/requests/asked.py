"""Requests and goals as users wrote them: their words, whose they are, when they came, and whether they failed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from labelgen.confidence.prediction_powered import RateEstimate, Sums, rate_of
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import At, AtGoal, AtTurn
from labelgen.data.split import user_key
from labelgen.feedback.cues import plain
from labelgen.feedback.items import IN_PASSING, goals_of
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import VERDICTS, posterior_of

Kind = Literal["request", "goal"]
_BAD = {"quality": "bad", "outcome": "failure"}


@dataclass(frozen=True, slots=True)
class AskedText:
    """A request, or the first request of a goal. place: dialogue and turn. user: the independent unit (`split.user_key`). start: of the
    dialogue, ISO 8601; None where unknown. failed: probability that it failed; None where nobody judged it. intents: whether an annotator
    names any."""

    text: str
    place: tuple[str, int]
    user: str
    start: str | None
    failed: float | None
    intents: bool


def failures(dialogue: Dialogue, annotator: str | None) -> Mapping[At, float]:
    """The probability that each judged turn and goal failed: 0 or 1 by an annotator's labels of quality and outcome; None: by targets from
    feedback."""
    if annotator is None:
        verdicts = (t for t in dialogue.targets if t.task in VERDICTS and t.distribution)
        return {target.at: 1.0 - posterior_of(target) for target in verdicts}
    annotation = dialogue.annotation(annotator)
    labels = annotation.labels if annotation is not None else ()
    return {x.at: float(x.name == _BAD[x.task]) for x in labels if x.task in VERDICTS}


def signals_in(dialogue: Dialogue) -> Sequence[Signal]:
    """The signals of a record, or those that detectors find in it."""
    return dialogue.signals or find_signals(dialogue)


def passing_turns(signals: Iterable[Signal]) -> set[int]:
    """Turns whose words ask for nothing, such as thanks and answers to a question about the service."""
    return {t for s in signals if s.kind in IN_PASSING for t in s.evidence if t not in s.turns}


def asked_in(dialogues: Iterable[Dialogue], kind: Kind, annotator: str | None) -> Iterator[AskedText]:
    """The requests with words, or the goals with one. annotator: see `failures`; goals are those of its outcomes, else provisional."""
    for dialogue in dialogues:
        failed, signals = failures(dialogue, annotator), signals_in(dialogue)
        passing = passing_turns(signals)
        named = {x.at.turn for a in dialogue.annotations for x in a.labels if x.task == "intents"}  # type: ignore[union-attr]
        worded = [t for t, turn in enumerate(dialogue.turns) if plain(turn.request) and t not in passing]
        places: list[tuple[At, tuple[int, ...]]] = [(AtTurn(t), (t,)) for t in worded]
        if kind == "goal":
            judged = [at.turns for at in failed if isinstance(at, AtGoal)]
            goals = judged or goals_of(dialogue, annotator, signals)[0]
            places = [(AtGoal(turns), turns) for turns in goals]
        for at, turns in places:
            first = next((t for t in turns if t in worded), None)
            if first is not None:
                text, place = dialogue.turns[first].request, (dialogue.id, first)
                intents = not named.isdisjoint(turns)
                yield AskedText(text, place, user_key(dialogue), dialogue.start, failed.get(at), intents)


def rate_over_users(values: Sequence[float], users: Sequence[str]) -> RateEstimate | None:
    """The mean of values with its variance over users; None with too few users."""
    rows = np.array([(value, 1.0) for value in values]).reshape(-1, 2)
    number = {user: k for k, user in enumerate(dict.fromkeys(users))}
    owners = np.array([number[user] for user in users], np.int64)
    return rate_of(Sums(rows, rows, np.zeros((0, 2)), owners), 0.0)
