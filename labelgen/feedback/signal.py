"""Find the signals of a dialogue with every registered detector, in the order of the registry; what detectors declare; and what users
said themselves as an annotation, a reference where nobody else judged a log. Masking: the same evidence must not be a model's input and its
target."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec.structs import fields, replace

from labelgen.base.errors import UsageError
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import Annotation, At, AtDialogue, AtSpan, AtTurn, Label
from labelgen.feedback.cues import Vote, records_feedback
from labelgen.feedback.detectors import DETECTORS


class Detector(Protocol):
    """A class or module that finds signals of one kind. A plug-in declares it as an entry point of the group `labelgen.detectors`.

    Four more names are optional: PRECISION and FAMILY (see `Reliability`); CONTENT, which is true where it reads the assistant's side alone
    (verdicts/content.py), so that its signals are no reaction of a user; and `detect_all`, which finds the signals of many dialogues at once. A detector with `detect_all` takes long, so only `signals_of` runs it unasked."""

    EVIDENCE: tuple[str, ...]
    """Fields of a turn that hold the evidence; they are masked where the signal is a target."""

    def detect(self, dialogue: Dialogue) -> Iterator[Signal]:
        """The signals of one dialogue."""

    def observable(self, dialogue: Dialogue, turn: int) -> bool:
        """Whether a signal about that turn could have been seen, so that silence is informative (a clock exists, a turn
        follows, the user was asked)."""


def detector(kind: str) -> Detector:
    """The detector of a kind. Raises UsageError for an unknown kind."""
    found: Detector = resolve(DETECTORS, kind, "signal")
    return found


EARLIER = "earlier turns"
"""The kind of all signals about turns after which the user went on with the goal (items.py)."""

USER = "user"
"""Annotator name, and kind, of users."""

MASKED = "masked"
"""The kind of the one signal of a dialogue whose feedback is masked: no witness could speak."""

UNDECLARED: Mapping[Vote, float] = {"good": 0.6, "bad": 0.6}
"""The precision of a kind that declares none."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """What is written down about a kind of signals.

    precision: vote -> share of full-strength votes that are right where good and bad things are equally frequent
    (`PRECISION` of the detector). Its keys are the votes that the kind may cast; any other vote is no evidence. Beliefs, not
    measurements: explicit kinds err by slips and misunderstood questions, implicit ones also by politeness and habit.
    family: kinds of one family read the same event, or one causes the other, so their joint votes are one answer (`FAMILY`;
    without one the kind itself). declared: whether the precision was written down; else it is learned from a log."""

    precision: Mapping[Vote, float]
    family: str
    declared: bool


def reliability(kind: str) -> Reliability:
    """What the detector of a kind declares. Raises UsageError for a precision that is not between 0.5 and 1."""
    if kind == EARLIER:  # no detector finds it
        return Reliability(UNDECLARED, kind, True)
    module = detector(kind) if kind in DETECTORS else None
    precision: Mapping[Vote, float] | None = getattr(module, "PRECISION", None)
    family: str = getattr(module, "FAMILY", kind)
    if precision is None:
        return Reliability(UNDECLARED, family, False)
    if not precision or not set(precision) <= {"good", "bad"} or not all(0.5 <= p < 1.0 for p in precision.values()):
        raise UsageError(
            f"the detector {kind!r} declares PRECISION = {precision!r}",
            f"detector {kind}",
            'declare the votes that it casts with precisions from 0.5 to below 1, such as {"bad": 0.8}',
        )
    return Reliability(precision, family, True)


def find_signals(dialogue: Dialogue, kinds: Sequence[str] | None = None) -> tuple[Signal, ...]:
    """The signals of one dialogue. kinds: the detectors to run, None for all but those that take long. Raises UsageError for an unknown
    kind."""
    if kinds is None:
        kinds = [kind for kind in DETECTORS if not hasattr(detector(kind), "detect_all")]
    return tuple(s for kind in kinds for s in detector(kind).detect(dialogue))


def signals_of(dialogues: Sequence[Dialogue], kinds: Sequence[str] | None = None) -> list[tuple[Signal, ...]]:
    """The signals of each dialogue. kinds: the detectors to run, None for all. Raises UsageError for an unknown kind."""
    found: list[list[Signal]] = [[] for _ in dialogues]
    for kind in DETECTORS if kinds is None else kinds:
        at_once = getattr(detector(kind), "detect_all", None)
        each = map(detector(kind).detect, dialogues) if at_once is None else at_once(dialogues)
        for signals, more in zip(found, each, strict=True):
            signals.extend(more)
    return list(map(tuple, found))


def with_signals(dialogue: Dialogue) -> Dialogue:
    """The dialogue with the signals that are found without asking for one that takes long, in place of its old ones."""
    return replace(dialogue, signals=find_signals(dialogue))


def concerns_dialogue(signal: Signal, dialogue: Dialogue) -> bool:
    """Whether the signal is about the whole dialogue, not about single turns. In a dialogue of one turn it is both."""
    return len(signal.turns) == len(dialogue.turns)


def user_annotation(dialogue: Dialogue, name: str = USER) -> Annotation | None:
    """The explicit feedback in a dialogue (thumbs, ratings, answers to "did I answer your question?") as labels of quality by an
    annotator of kind `user`; None without any.

    Feedback at a turn labels the turn that it is about, feedback on the whole dialogue the dialogue. A place with feedback that
    contradicts itself has no label. Feedback is given by few users, and seldom by the indifferent: what holds on it need not
    hold on the other dialogues."""
    votes: defaultdict[At, set[str]] = defaultdict(set)
    for signal in find_signals(dialogue):
        if not signal.explicit:
            continue
        whole = concerns_dialogue(signal, dialogue) and not signal.evidence
        places: tuple[At, ...] = (AtDialogue(),) if whole else tuple(map(AtTurn, signal.turns))
        for at in places:
            votes[at].add(signal.vote)
    labels = tuple(Label("quality", at, next(iter(said))) for at, said in votes.items() if len(said) == 1)
    return Annotation(name, USER, labels) if labels else None


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
