"""What a log holds: dialogues, their turns, and what the user let be known of them.

All values are frozen. `None` means unknown, an empty tuple means none. Every span is `[start, end)` in Unicode code
points of the turn's request. The field names are those of the record on disk (docs/reference/record.md)."""

from dataclasses import dataclass

from labelgen.data.evidence import Signal, Target
from labelgen.data.labels import Annotation


@dataclass(frozen=True, slots=True, kw_only=True)
class HypothesisIntent:
    """An intent that the live assistant believed; confidence in 0..1."""

    name: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HypothesisSlot:
    """A slot that the live assistant believed; value is its normalized form, confidence in 0..1."""

    name: str
    start: int
    end: int
    value: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What the live assistant believed the request to mean."""

    intents: tuple[HypothesisIntent, ...] = ()
    slots: tuple[HypothesisSlot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """One entry of a recognizer's n-best list; score is its log-probability where the recognizer gives one."""

    text: str
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A categorical feature of a turn, such as `screen = no`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A numerical feature of a turn, such as `volume = 0.4`; its unit is the log's own."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """The request as sound: a file, or the segment `[start_s, end_s)` of one, in one channel.

    The path is relative to the folder of the record's file and stays within it."""

    path: str
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What the log itself recorded of the user's reaction, at a turn or for the dialogue.

    kind: `answer` (to the assistant's question "did I answer?"), `rating`, `questionnaire`, `barge_in`, `stop`,
    `disconnect` or any other name. answer: `yes` or `no`. about: index of the turn that is meant, else the turn it
    stands on. question: the words that were asked. rating: a number on `scale` = (worst, best)."""

    kind: str
    answer: str | None = None
    about: int | None = None
    question: str | None = None
    rating: float | None = None
    scale: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One exchange: the user's request and the assistant's response to it; either may be empty.

    time_s and response_time_s count seconds from the dialogue's start. extra: JSON text of fields that labelgen does
    not know, kept as they came."""

    request: str
    response: str
    time_s: float | None = None
    response_time_s: float | None = None
    domain: str | None = None
    status: str | None = None
    asr_confidence: float | None = None
    nlu_confidence: float | None = None
    categories: tuple[Category, ...] = ()
    numbers: tuple[Number, ...] = ()
    hypothesis: Hypothesis | None = None
    nbest: tuple[Recognition, ...] = ()
    audio: Audio | None = None
    feedback: tuple[Feedback, ...] = ()
    extra: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """The turns of one user with one assistant, in order, that belong together.

    start: ISO 8601. source: the corpus and part the dialogue comes from, such as `sgd/dev`; it chooses the label set.
    feedback: what concerns the whole dialogue, that is, all its goals."""

    id: str
    turns: tuple[Turn, ...]
    user: str | None = None
    start: str | None = None
    locale: str | None = None
    device: str | None = None
    source: str | None = None
    feedback: tuple[Feedback, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    signals: tuple[Signal, ...] = ()
    targets: tuple[Target, ...] = ()
    extra: str | None = None

    def annotation(self, annotator: str) -> Annotation | None:
        """The annotation by that annotator, or None."""
        return next((a for a in self.annotations if a.annotator == annotator), None)
