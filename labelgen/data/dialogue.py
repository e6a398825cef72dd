"""Dialogues, their turns, and the user feedback in them: one set of Structs, on disk and in memory.

All values are frozen. `None` means unknown, an empty tuple means none. Every span is `[start, end)` in Unicode code
points of the turn's request. Field names are those of the record on disk (docs/reference/record.md)."""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from types import UnionType
from typing import Any, Generic, get_args, get_origin, get_type_hints

from msgspec import Struct
from typing_extensions import TypeVar

from labelgen.base.errors import InputError, UsageError
from labelgen.data.json_text import decoded
from labelgen.data.labels import Annotation, QualityName, Target

AnnotationT = TypeVar("AnnotationT", default=Annotation)
TargetT = TypeVar("TargetT", default=Target)


SPEAKER = "speaker"
"""The category whose value is the person who wrote a turn's request, in dialogues of several people."""


TOOL = "tool"
"""The kind of a step that calls a tool, and the category of the names of the tools of a turn."""


class RecordPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base class of the objects in a record; a field that labelgen does not know is an error here (record.py treats it)."""


class HypothesisIntent(RecordPart, frozen=True, kw_only=True):
    """An intent hypothesis of the live assistant; confidence in 0..1."""

    name: str
    confidence: float | None = None


class HypothesisSlot(RecordPart, frozen=True, kw_only=True):
    """A slot hypothesis of the live assistant; value is its normalized form, confidence in 0..1."""

    name: str
    start: int
    end: int
    value: str | None = None
    confidence: float | None = None


class Hypothesis(RecordPart, frozen=True, kw_only=True):
    """The natural-language-understanding result of the live assistant. slots: None where the log does not say which it found."""

    intents: tuple[HypothesisIntent, ...] = ()
    slots: tuple[HypothesisSlot, ...] | None = ()


class Recognition(RecordPart, frozen=True, kw_only=True):
    """One entry of a speech recognizer's n-best list; score is its log-probability, where the recognizer gives one."""

    text: str
    score: float | None = None


class Category(RecordPart, frozen=True, kw_only=True):
    """A categorical feature of a turn, such as `screen = no`."""

    name: str
    value: str


class Number(RecordPart, frozen=True, kw_only=True):
    """A numerical feature of a turn, such as `volume = 0.4`; its unit is the log's own."""

    name: str
    value: float


class Audio(RecordPart, frozen=True, kw_only=True):
    """The request as sound: a file, or the segment `[start_s, end_s)` of one, in one channel.

    The path is relative to the folder of the record's file and stays within it."""

    path: str
    start_s: float | None = None
    end_s: float | None = None
    channel: int | None = None


class Feedback(RecordPart, frozen=True, kw_only=True):
    """User feedback that the log itself recorded, at a turn or for the dialogue.

    kind: `answer` (to the assistant's question "did I answer?"), `rating`, `questionnaire`, `barge_in`, `stop`,
    `disconnect`, `regenerate`, `retry`, `edit`, `edit_response`, `copy` or any other name. answer: `yes` or `no`. about:
    index of the turn that is meant, else the turn that holds the feedback. question: the words of the question. rating: a
    number on `scale` = (worst, best). text: the edited request of `edit`, the edited response of `edit_response`, the
    replaced response of `regenerate`, or the user's comment."""

    kind: str
    answer: str | None = None
    about: int | None = None
    question: str | None = None
    rating: float | None = None
    scale: tuple[float, float] | None = None
    text: str | None = None


class Step(RecordPart, frozen=True, kw_only=True):
    """One step of the live assistant between a request and its response, such as a tool call.

    kind: `recognition`, `understanding`, `resolution`, `retrieval`, `tool`, `result` or any other name. name: of the tool or
    component. arguments: JSON text of what it was called with. result: what it returned, JSON or any text. error: why it
    failed, in the log's words; None where it did not fail, or the log does not say. confidence: 0..1."""

    kind: str
    name: str | None = None
    arguments: str | None = None
    result: str | None = None
    error: str | None = None
    latency_s: float | None = None
    confidence: float | None = None


class Signal(RecordPart, frozen=True, kw_only=True):
    """One signal of user feedback that a detector found in one dialogue.

    turns: the turns that it judges, ascending; all of them for feedback on the whole dialogue. evidence: the turns where
    it was seen (a "thanks" at turn 3 judges turn 2); they are masked when the signal is a target. vote: `fair` is a rating
    in the middle of its scale. strength: 0..1, the detector's own certainty. explicit: the user was asked, or rated. span: place
    in the request of the one turn of evidence, of a statement to remember (detectors/moments.py), which judges no turn."""

    kind: str
    turns: tuple[int, ...]
    vote: QualityName
    strength: float = 1.0
    explicit: bool = False
    evidence: tuple[int, ...] = ()
    span: tuple[int, int] | None = None


class CheckedPart(RecordPart, frozen=True, kw_only=True):
    """A part that people make in Python: a value of another type than its field's is refused."""

    def __post_init__(self) -> None:
        for name, allowed in _types_of(type(self)):
            value = getattr(self, name)
            if not isinstance(value, allowed):
                words = " or ".join(_TYPE_WORDS.get(kind, kind.__name__) for kind in allowed)
                raise UsageError(
                    f"{name} of a {type(self).__name__} is {value!r:.80}, which is not {words}", name, f"give {words}"
                )


_TYPE_WORDS = {str: "text", float: "a number", int: "a whole number", tuple: "a tuple", type(None): "None"}


@lru_cache(maxsize=16)
def _types_of(kind: type[CheckedPart]) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """Each field of a Struct, and the types that its values have at run time."""
    return tuple(
        (name, tuple(_plain_types(hint)))
        for name, hint in get_type_hints(kind).items()
        if name in kind.__struct_fields__
    )


def _plain_types(hint: Any) -> Iterator[type]:
    if isinstance(hint, UnionType):
        for one in get_args(hint):
            yield from _plain_types(one)
    else:
        yield get_origin(hint) or hint
        if hint is float:
            yield int


class Turn(CheckedPart, frozen=True, kw_only=True):
    """One exchange: the user's request and the assistant's response to it; either may be empty.

    time_s and response_time_s count seconds from the dialogue's start. steps: what the assistant did between the two, in
    order. extra: JSON text of fields that labelgen does
    not know, as they came."""

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
    steps: tuple[Step, ...] = ()
    extra: str | None = None


class Dialogue(CheckedPart, Generic[AnnotationT, TargetT], frozen=True, kw_only=True):
    """The turns of one user with one assistant, in order, that belong together; only `id` and `turns` are required.

    In memory annotations and targets are generic labels (labels.py), on disk named groups (groups.py). start: ISO 8601.
    source: the corpus and part of the dialogue, such as `sgd/dev`; it selects the label set. feedback: on the whole dialogue,
    that is, on all its goals. extra: JSON text of fields that labelgen does not know, as they came."""

    id: str
    turns: tuple[Turn, ...]
    user: str | None = None
    start: str | None = None
    locale: str | None = None
    device: str | None = None
    source: str | None = None
    feedback: tuple[Feedback, ...] = ()
    annotations: tuple[AnnotationT, ...] = ()
    signals: tuple[Signal, ...] = ()
    targets: tuple[TargetT, ...] = ()
    extra: str | None = None

    def annotation(self: "Dialogue[Annotation, TargetT]", annotator: str) -> Annotation | None:
        """The annotation by that annotator, or None."""
        return next((a for a in self.annotations if a.annotator == annotator), None)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Dialogue":
        """A dialogue from a record as Python reads its JSON; None and absent fields mean the same.

        Raises InputError for a record that is no valid one, with the field and the reason."""
        from labelgen.data.record import Rejected, convert

        read = convert(dict(record), "from_dict")
        if isinstance(read, Rejected):
            where = ", ".join(part for part in (read.dialogue and f"dialogue {read.dialogue}", read.field) if part)
            raise InputError(
                f"the record cannot be used: {read.reason}", where, "docs/reference/record.md has its fields"
            )
        return read

    def to_dict(self: "Dialogue[Annotation, Target]") -> dict[str, Any]:
        """The record as it is on disk (docs/reference/record.md)."""
        from labelgen.data.record import to_plain

        return to_plain(self)


def step_features(turn: Turn) -> Mapping[str, str | float]:
    """Features of a turn's steps, which are known before the user reacts: `tool` (names of the tools, sorted, joined by `+`),
    `tools` (number of calls) and `tool_errors` (number of calls that failed); empty without steps."""
    if not turn.steps:
        return {}
    calls = [step for step in turn.steps if step.kind == TOOL]
    counts = {"tools": float(len(calls)), "tool_errors": float(sum(step.error is not None for step in calls))}
    names = "+".join(sorted({step.name for step in calls if step.name}))
    return {"tool": names, **counts} if names else counts


def extra(part: Dialogue | Turn) -> Mapping[str, Any]:
    """The fields that labelgen does not know, by name; none where `extra` is empty or no JSON object."""
    return _extra(part.extra)


@lru_cache(maxsize=4096)
def _extra(text: str | None) -> Mapping[str, Any]:
    fields = decoded(text)
    return fields if isinstance(fields, dict) else {}


def words_of_step(index: int, step: Step) -> str:
    """A step of a turn in words, such as `step 2 search`; a label at the turn that names it has them as its value."""
    return f"step {index + 1} {step.name or step.kind}"


def steps_if_named(turn: Turn, values: Collection[object]) -> tuple[tuple[str, Step, bool], ...]:
    """The steps of a turn in words, and whether one of the values of its labels names it; () where none does."""
    steps = [(words_of_step(k, step), step) for k, step in enumerate(turn.steps)]
    named = tuple((words, step, words in values) for words, step in steps)
    return named if any(one for *_, one in named) else ()
