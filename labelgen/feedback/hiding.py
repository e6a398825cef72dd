"""The same evidence must not be a model's input and its target at once."""

from collections.abc import Sequence
from dataclasses import fields, replace
from random import Random
from typing import Any

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.evidence import Signal
from labelgen.data.labels import Annotation, AtSpan
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.signal import evidence_fields, find_signals

_EMPTY: dict[str, Any] = {f.name: f.default for f in fields(Turn)} | {"request": "", "response": ""}
_OF_REQUEST = ("nbest", "audio", "hypothesis", "asr_confidence", "nlu_confidence")
"""What repeats a request in another form goes with it."""
_ANY_KIND = ("feedback", "request")


def hide(dialogue: Dialogue, signals: Sequence[Signal]) -> Dialogue:
    """The dialogue without all recorded feedback, and without the fields that hold the evidence of these signals.

    Which fields those are, each detector says (`EVIDENCE`); of a kind that none finds: the request. Turns stay where
    they are. Spans in a request that was hidden are gone from annotations and targets, since their text is."""
    hidden: dict[int, set[str]] = {t: {"feedback"} for t in range(len(dialogue.turns))}
    for signal in signals:
        names = evidence_fields(signal.kind) if signal.kind in DETECTORS else _ANY_KIND
        for t in signal.evidence:
            hidden[t].update(names)
            if "request" in names:
                hidden[t].update(_OF_REQUEST)
    blank = frozenset(t for t, names in hidden.items() if "request" in names)
    return replace(
        dialogue,
        turns=tuple(replace(turn, **{n: _EMPTY[n] for n in hidden[t]}) for t, turn in enumerate(dialogue.turns)),
        feedback=(),
        annotations=tuple(_without_spans(a, blank) for a in dialogue.annotations),
        targets=tuple(t for t in dialogue.targets if not (isinstance(t.at, AtSpan) and t.at.turn in blank)),
    )


def without_evidence(dialogue: Dialogue) -> Dialogue:
    """The dialogue without the evidence of any signal, be it one that the record has or one that a detector finds; equal
    to the dialogue where it carries none. For what is measured: nothing is drawn, so there are no decoys, and a gap may
    still tell that something stood there."""
    return hide(dialogue, (*dialogue.signals, *find_signals(dialogue)))


def decoys(dialogue: Dialogue, signals: Sequence[Signal], rng: Random) -> tuple[Signal, ...]:
    """As many signals that nobody found, at turns without evidence of their kind: hidden beside the true ones, so that a
    gap alone does not tell the target. Fewer where there are no such turns left."""
    free: dict[str, list[int]] = {}
    for signal in signals:
        taken = {t for other in signals if other.kind == signal.kind for t in other.evidence}
        free.setdefault(signal.kind, [t for t in range(len(dialogue.turns)) if t not in taken])
    for turns in free.values():
        rng.shuffle(turns)
    found = []
    for signal in signals:
        evidence = tuple(free[signal.kind].pop() for _ in signal.evidence if free[signal.kind])
        if evidence:
            found.append(replace(signal, evidence=tuple(sorted(evidence))))
    return tuple(found)


def _without_spans(annotation: Annotation, blank: frozenset[int]) -> Annotation:
    kept = tuple(own for own in annotation.labels if not (isinstance(own.at, AtSpan) and own.at.turn in blank))
    return annotation if len(kept) == len(annotation.labels) else replace(annotation, labels=kept)
