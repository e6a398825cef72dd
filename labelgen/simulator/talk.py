"""A dialogue of the simulated world as it unfolds: what the log keeps of it, and what is true of it."""

from dataclasses import dataclass, field, replace
from random import Random

from labelgen.data.dialogue import Category, Feedback, Hypothesis, Number, Turn
from labelgen.simulator.goals import Goal
from labelgen.simulator.options import WorldOptions
from labelgen.simulator.setting import Setting
from labelgen.simulator.user import User

_SCREEN = (Category(name="screen", value="no"), Category(name="screen", value="yes"))
_WOKEN = {by: Category(name="woken_by", value=by) for by in ("button", "word")}


@dataclass(frozen=True, slots=True)
class TurnTruth:
    """slots: (name, start, end, words that were meant). quality: 1..5, None where the user asked for nothing.
    annoyance: of the user when speaking, 0..1. faults: the assistant's stages that failed (`faults.STAGES`), in order."""

    intents: tuple[str, ...]
    slots: tuple[tuple[str, int, int, str], ...]
    quality: int | None
    annoyance: float
    faults: tuple[str, ...] = ()


@dataclass(slots=True)
class Talk:
    """A dialogue as it unfolds."""

    user: User
    setting: Setting
    options: WorldOptions
    rng: Random
    noise: float
    volume: float
    goals: list[Goal] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    truths: list[TurnTruth] = field(default_factory=list)
    rating: int | None = None
    annoyance: float = 0.0
    clock_s: float = 0.0
    left: bool = False


def keep(talk: Talk, turn: Turn, truth: TurnTruth, delay_s: float) -> None:
    """Put a turn into the log with the clock and what the device knows."""
    user, rng = talk.user, talk.rng
    asked_s = round(talk.clock_s, 2)
    answered_s = round(asked_s + 0.5 + 0.05 * len(turn.request) + delay_s, 2)
    talk.clock_s = answered_s + 0.05 * len(turn.response) + rng.expovariate(0.7)
    screen = user.device in ("phone", "display", "watch")
    woken = "button" if screen and rng.random() < 0.5 else "word"
    kept = replace(
        turn,
        time_s=asked_s,
        response_time_s=answered_s,
        categories=(_SCREEN[screen], _WOKEN[woken]),
        numbers=(
            Number(name="volume", value=talk.volume),
            Number(name="noise_db", value=round(34.0 + 16.0 * talk.noise + rng.uniform(-3.0, 3.0), 1)),
        ),
    )
    talk.turns.append(kept)
    talk.truths.append(truth)


def aside(talk: Talk, request: str, response: str, feedback: Feedback | None = None) -> None:
    """A turn that asks for nothing and serves no goal; where nothing is said, nothing is heard."""
    rng = talk.rng
    asr_confidence = round(rng.betavariate(14.0, 1.4), 3)
    turn = Turn(
        request=request,
        response=response,
        domain="system",
        status="answered",
        asr_confidence=asr_confidence if request else None,
        nlu_confidence=round(rng.betavariate(11.0, 1.6), 3),
        hypothesis=Hypothesis(),
        feedback=() if feedback is None else (feedback,),
    )
    keep(talk, turn, TurnTruth((), (), None, talk.annoyance), round(0.3 + rng.expovariate(2.0), 2))


def mark(talk: Talk, feedback: Feedback) -> None:
    """Add feedback to the last turn."""
    last = talk.turns[-1]
    talk.turns[-1] = replace(last, feedback=(*last.feedback, feedback))


def overall(talk: Talk) -> int:
    """How well the assistant served the dialogue as a whole, 1..5: half its turns, half its goals."""
    rated = [truth.quality for truth in talk.truths if truth.quality is not None]
    reached = sum(not goal.failed for goal in talk.goals) / len(talk.goals)
    return round(0.5 * sum(rated) / len(rated) + 0.5 * (1.0 + 4.0 * reached))
