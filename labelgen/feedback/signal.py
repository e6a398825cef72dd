"""Find the signals of a dialogue with every registered detector, in the order of the registry."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec.structs import replace

from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.detectors import DETECTORS


class Detector(Protocol):
    """A module that finds signals of one kind. A plug-in declares it as an entry point of the group `labelgen.detectors`."""

    EVIDENCE: tuple[str, ...]
    """Fields of a turn that hold the evidence; they are masked where the signal is a target (masking.py)."""

    def detect(self, dialogue: Dialogue) -> Iterator[Signal]:
        """The signals of one dialogue."""

    def observable(self, dialogue: Dialogue, turn: int) -> bool:
        """Whether a signal about that turn could have been seen, so that silence is informative (a clock exists, a turn
        follows, the user was asked)."""


def detector(kind: str) -> Detector:
    """The detector of a kind. Raises UsageError for an unknown kind."""
    module: Detector = resolve(DETECTORS, kind, "signal")
    return module


def find_signals(dialogue: Dialogue, kinds: Sequence[str] | None = None) -> tuple[Signal, ...]:
    """The signals of one dialogue. kinds: the detectors to run, None for all. Raises UsageError for an unknown kind."""
    return tuple(s for kind in (DETECTORS if kinds is None else kinds) for s in detector(kind).detect(dialogue))


def with_signals(dialogue: Dialogue, kinds: Sequence[str] | None = None) -> Dialogue:
    """The dialogue with these signals in place of its old ones."""
    return replace(dialogue, signals=find_signals(dialogue, kinds))


def observable(kind: str, dialogue: Dialogue, turn: int) -> bool:
    """Whether the detector of a kind could have found a signal about that turn. Raises UsageError for an unknown kind."""
    return detector(kind).observable(dialogue, turn)


def concerns_dialogue(signal: Signal, dialogue: Dialogue) -> bool:
    """Whether the signal is about the whole dialogue, not about single turns. In a dialogue of one turn it is both."""
    return len(signal.turns) == len(dialogue.turns)
