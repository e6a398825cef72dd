"""Finding the signals of a dialogue: every registered detector, in the order of the registry.

A detector is a module in `detectors/` with
`detect(dialogue) -> Iterator[Signal]`;
`observable(dialogue, turn) -> bool`: whether a signal of its kind about that turn could have been seen, so that silence
says something (a clock is there, a turn follows, somebody asked);
`EVIDENCE`, the fields of a turn in which it sees its evidence; they are hidden when the signal is a target (hiding.py)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from types import ModuleType

from labelgen.base.registry import require, resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal
from labelgen.feedback.detectors import DETECTORS

Detect = Callable[[Dialogue], Iterator[Signal]]


def find_signals(dialogue: Dialogue, kinds: Sequence[str] | None = None) -> tuple[Signal, ...]:
    """The signals of one dialogue; kinds: the detectors to ask, all where it is None. Raises UsageError for an unknown
    kind."""
    found: list[Signal] = []
    for kind in DETECTORS if kinds is None else kinds:
        detect: Detect = resolve(DETECTORS, kind, "signal")
        found.extend(detect(dialogue))
    return tuple(found)


def with_signals(dialogue: Dialogue, kinds: Sequence[str] | None = None) -> Dialogue:
    """The dialogue with these signals in place of those it had."""
    return replace(dialogue, signals=find_signals(dialogue, kinds))


def evidence_fields(kind: str) -> tuple[str, ...]:
    """The fields of a turn where a kind of signal is seen. Raises UsageError for an unknown kind."""
    require(kind, DETECTORS, "signal")
    fields: tuple[str, ...] = _module(DETECTORS[kind]).EVIDENCE
    return fields


def observable(kind: str, dialogue: Dialogue, turn: int) -> bool:
    """Whether the detector of that kind could have found a signal about that turn. Raises KeyError for an unknown kind."""
    can: bool = _module(DETECTORS[kind]).observable(dialogue, turn)
    return can


@cache
def _module(entry: str) -> ModuleType:
    return import_module(entry.partition(":")[0])


def concerns_dialogue(signal: Signal, dialogue: Dialogue) -> bool:
    """The signal speaks of the dialogue as a whole, not of single turns. In a dialogue of one turn it does both."""
    return len(signal.turns) == len(dialogue.turns)
