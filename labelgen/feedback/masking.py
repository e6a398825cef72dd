"""Masking of feedback: the same evidence must not be a model's input and its target."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import fields, replace

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import Annotation, AtSpan
from labelgen.feedback.cues import records_feedback
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.signal import MASKED, detector, find_signals

_EMPTY: dict[str, Any] = {f.name: f.default for f in fields(Turn)} | {"request": "", "response": ""}
_OF_REQUEST = ("nbest", "audio", "hypothesis", "asr_confidence", "nlu_confidence")
"""Other forms of a request, which are masked with it."""
_ANY_KIND = ("feedback", "request")


def mask(dialogue: Dialogue, signals: Sequence[Signal]) -> Dialogue:
    """The dialogue without recorded feedback, and without the fields that hold the evidence of these signals.

    Each detector names its fields (`EVIDENCE`); for a kind without a detector it is the request. Turns stay in place. Spans in
    a masked request are removed from annotations and targets, since their text is. One signal, MASKED, stands for all."""
    masked: dict[int, set[str]] = {t: {"feedback"} for t in range(len(dialogue.turns))}
    for signal in reactions(signals):
        names = detector(signal.kind).EVIDENCE if signal.kind in DETECTORS else _ANY_KIND
        for t in signal.evidence:
            masked[t].update(names)
            if "request" in names:
                masked[t].update(_OF_REQUEST)
    blank = frozenset(t for t, names in masked.items() if "request" in names)
    return replace(
        dialogue,
        turns=tuple(replace(turn, **{n: _EMPTY[n] for n in masked[t]}) for t, turn in enumerate(dialogue.turns)),
        feedback=(),
        signals=(Signal(kind=MASKED, turns=(), vote="fair"),),
        annotations=tuple(_without_spans(a, blank) for a in dialogue.annotations),
        targets=tuple(t for t in dialogue.targets if not (isinstance(t.at, AtSpan) and t.at.turn in blank)),
    )


def mask_feedback(dialogue: Dialogue) -> Dialogue:
    """The dialogue without the evidence of any reaction, recorded or detected; unchanged where it has none.

    For evaluation. A gap may show that feedback was there."""
    found = reactions((*dialogue.signals, *find_signals(dialogue)))
    return mask(dialogue, found) if found or records_feedback(dialogue) else dialogue


def hide_answers(dialogue: Dialogue) -> Dialogue:
    """The dialogue without what its user said explicitly, where that is the reference; other signals stay. Unchanged without any."""
    found = find_signals(dialogue)
    answers = [signal for signal in (*dialogue.signals, *found) if signal.explicit]
    if not answers:
        return dialogue
    others = tuple(signal for signal in dialogue.signals or found if not signal.explicit)
    return replace(mask(dialogue, answers), signals=others)


def reactions(signals: Sequence[Signal]) -> list[Signal]:
    """Signals of what users did; those that judge no turn, or read the assistant's side alone, are left out."""
    judging = (signal for signal in signals if signal.turns)
    return [s for s in judging if s.kind not in DETECTORS or not getattr(detector(s.kind), "CONTENT", False)]


def _without_spans(annotation: Annotation, blank: frozenset[int]) -> Annotation:
    kept = tuple(x for x in annotation.labels if not (isinstance(x.at, AtSpan) and x.at.turn in blank))
    return annotation if len(kept) == len(annotation.labels) else replace(annotation, labels=kept)
