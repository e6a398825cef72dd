"""Generic labels: what an annotator answers and what a model is trained on, in one form for every task.

There are four units: a label is about a turn, a span of a turn's request, a goal (a set of turns), or the dialogue.
All values are frozen. Records on disk group labels by task (groups.py).

At the end: words of texts, and normalizers of slot values. A normalizer is a function `(text, locale) -> text or None`, such as ("a quarter
of an hour", "en-US") -> "PT15M". None means that it does not know the words; the value is then the text itself. Packages register
normalizers under the entry point group `labelgen.normalizers`."""

import locale as locales
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from labelgen.base.registry import Registry, resolve

Unit = Literal["turn", "span", "goal", "dialogue"]

GOALS = "goals"
"""The task whose labels divide a dialogue into goals; one answer to it is the set of all goals of a dialogue."""
_INSTALLED = Registry("labelgen.tasks", {})
"""Tasks of installed packages; built-in ones need no import to be known."""

TRANSCRIPTION = "transcription"
"""The task whose label of a turn has the words of the request as they were spoken, as its value. No model head gives it."""

REQUEST = "request"
"""The one name of the task TRANSCRIPTION."""


class AtTurn(Struct, frozen=True, order=True):
    """A turn, by its index."""

    turn: int


class AtSpan(Struct, frozen=True, order=True):
    """`[start, end)` in Unicode code points of the request of that turn."""

    turn: int
    start: int
    end: int


class AtGoal(Struct, frozen=True, order=True):
    """The turns that serve one goal, ascending."""

    turns: tuple[int, ...]


class AtDialogue(Struct, frozen=True, order=True):
    """The whole dialogue."""


At = AtTurn | AtSpan | AtGoal | AtDialogue

UNIT_OF: Mapping[type, Unit] = {AtTurn: "turn", AtSpan: "span", AtGoal: "goal", AtDialogue: "dialogue"}


class Rating(Struct, frozen=True):
    """A rating before it was mapped to 1..5, on `scale` = (worst, best)."""

    rating: float
    scale: tuple[float, float]


class Label(Struct, frozen=True):
    """One label by one annotator for one task.

    probability: of exactly this label, where the annotator gives one. value: what the name does not say; the normalized
    form of a slot (text), the rating of a quality (1..5). distribution: over all names of an exclusive task, in the
    order of its label set, where the annotator gives it. given: the rating that `value` was mapped from, where the
    annotator names the scale. origin: how `value` was obtained, in a word (NORMALIZERS, feedback/transcription.py)."""

    task: str
    at: At
    name: str
    probability: float | None = None
    value: str | float | None = None
    distribution: tuple[tuple[str, float], ...] | None = None
    given: Rating | None = None
    origin: str | None = None


class Field(Struct, frozen=True, order=True):
    """A question that an annotator can answer or leave: one task at one scope.

    The scope of a span is its turn, that of a goal among all goals is the dialogue; any other label's scope is its own
    unit."""

    task: str
    at: At


class NoLabel(Struct, frozen=True):
    """The answer that a field has no label; of an exclusive task, that none of its names can be told.

    probability: of this answer, where the annotator gives one."""

    task: str
    at: At
    probability: float | None = None

    @property
    def field(self) -> Field:
        """The field that is answered."""
        return Field(self.task, self.at)


Answers = tuple[Label | NoLabel, ...]
"""All answers of one annotator, or of one task of a model, about one dialogue."""


class Abstained(Struct, frozen=True):
    """A field that a model left unanswered because its best guess was below the threshold.

    best: that guess, empty where the guess was "no label". Of a division into goals, only those in `best` may be missing."""

    field: Field
    best: tuple[Label, ...] = ()


class Threshold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The probability below which a model abstains. unit: of the fields, where the task answers fields of several units. void: why its
    certificate does not hold for this log, where `labelgen drift` found that."""

    task: str
    probability: float
    unit: str | None = None
    void: str | None = None


class Provenance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model's labels come from: digests (SHA-256, hexadecimal), versions and settings.

    precision: arithmetic, and with onnx and int8 ONNX Runtime as the engine of the text encoder. processor: the kind of CPU or GPU
    that computed them. online: true where each turn was labeled without later turns; absent elsewhere. domains_from: the field of the record that lists the
    domains whose labels were allowed; absent where all were. trained_on: whether the model learned from labels or feedback of
    this dialogue; absent where its folder does not know. values: name of the normalizer of slot values; None
    where values are the words of the spans."""

    model_digest: str
    data_digest: str | None = None
    input_digest: str | None = None
    version: str | None = None
    torch: str | None = None
    onnxruntime: str | None = None
    precision: str | None = None
    threads: int | None = None
    processor: str | None = None
    online: bool | None = None
    domains_from: str | None = None
    trained_on: bool | None = None
    thresholds: tuple[Threshold, ...] = ()
    values: str | None = None


class Annotation(Struct, frozen=True):
    """A full set of labels of one dialogue by one annotator.

    kind: `person`, `model`, `rule`, `llm`, `user` or `truth`. A field with neither a label nor an entry in `none` was not
    annotated. price: cost of the annotation, in the log's own currency. covered_turns: turns that the division into goals covers,
    ascending; the others are context, on which it says nothing. None: all turns."""

    annotator: str
    kind: str
    labels: tuple[Label, ...] = ()
    none: tuple[NoLabel, ...] = ()
    abstained: tuple[Abstained, ...] = ()
    provenance: Provenance | None = None
    price: float | None = None
    covered_turns: tuple[int, ...] | None = None

    @property
    def answers(self) -> Answers:
        """Labels, then the fields without a label."""
        return (*self.labels, *self.none)


class Target(Struct, frozen=True):
    """What a task is trained on at one place: a distribution or a complement, exactly one of them.

    distribution: names with their probabilities. Where several names may hold, each is a Bernoulli probability; for an
    exclusive task they sum to one. An empty distribution says that no name holds. complement: names that do not all hold
    together ("not this"). complete: a name (or a span) that is not mentioned is known not to hold, else it is unknown; of
    the turns of a goal that is not complete, each pair serves one goal with the probability.
    weight: 0..1, usually the posterior. origin: where the target comes from, in words."""

    task: str
    at: At
    distribution: tuple[tuple[str, float], ...] | None = None
    complement: tuple[str, ...] | None = None
    weight: float = 1.0
    origin: str = ""
    complete: bool = True


def annotation_of(
    annotator: str, kind: str, answers: Iterable[Label | NoLabel], provenance: Provenance | None = None
) -> Annotation:
    """One annotation from the answers of any number of tasks, in their order."""
    labels: list[Label] = []
    none: list[NoLabel] = []
    for answer in answers:
        if isinstance(answer, Label):
            labels.append(answer)
        else:
            none.append(answer)
    return Annotation(annotator, kind, tuple(labels), tuple(none), (), provenance)


def divides(task: str) -> bool:
    """Whether the task's labels divide a dialogue into goals: those of `goals`, and of an installed task whose class says so."""
    return task == GOALS or (task in _INSTALLED and bool(resolve(_INSTALLED, task, "task").divides))


def scope_of(task: str, at: At) -> At:
    """The scope of the field that a label or a target of this task at this place answers."""
    if isinstance(at, AtSpan):
        return AtTurn(at.turn)
    return AtDialogue() if divides(task) else at


def field_of(task: str, at: At) -> Field:
    """The field that a label or a target of this task at this place answers."""
    return Field(task, scope_of(task, at))


def scope(label: Label) -> Field:
    """The field that a label answers."""
    return field_of(label.task, label.at)


def answers(annotation: Annotation, task: str) -> dict[At, tuple[Label, ...]]:
    """Every field of `task` that the annotation answers, by its scope, with its labels in order; () means "no label"."""
    return answers_by_task(annotation, (task,))[task]


def answers_by_task(annotation: Annotation, tasks: Iterable[str]) -> dict[str, dict[At, tuple[Label, ...]]]:
    """`answers` of several tasks, in one pass over the labels."""
    by_task: dict[str, dict[At, tuple[Label, ...]]] = {task: {} for task in tasks}
    for none in annotation.none:
        if none.task in by_task:
            by_task[none.task][none.at] = ()
    for label in annotation.labels:
        if label.task in by_task:
            of_task, at = by_task[label.task], scope_of(label.task, label.at)
            of_task[at] = (*of_task.get(at, ()), label)
    return by_task


def division(annotation: Annotation) -> tuple[Label, ...] | None:
    """The goals into which the annotation divides its dialogue, in order; () for none, None where it does not divide."""
    return answers(annotation, GOALS).get(AtDialogue())


def on_turns(goals: Iterable[Label], turns: Collection[int] | None) -> tuple[Label, ...]:
    """A division into goals restricted to these turns, without goals that serve none of them; None for all turns."""
    if turns is None:
        return tuple(goals)
    kept = ((label, tuple([t for t in turns_of(label.at) or () if t in turns])) for label in goals)
    return tuple([label if label.at == AtGoal(of) else replace(label, at=AtGoal(of)) for label, of in kept if of])


def both_cover(first: Sequence[int] | None, second: Sequence[int] | None) -> tuple[int, ...] | None:
    """Turns that two divisions cover, ascending; None for all turns."""
    if first is None or second is None:
        only = second if first is None else first
        return None if only is None else tuple(only)
    return tuple(sorted({*first}.intersection(second)))


def tasks_of(annotation: Annotation) -> tuple[str, ...]:
    """The tasks that the annotation answers somewhere, sorted."""
    return tuple(sorted({answer.task for answer in annotation.answers}))


_ANNOTATION = "annotation by "
"""Beginning of the origin of an annotation's targets."""


def is_annotated(target: Target) -> bool:
    """Whether the target comes from an annotation, not from feedback."""
    return target.origin.startswith(_ANNOTATION)


def targets_of(annotation: Annotation, weight: float = 1.0) -> tuple[Target, ...]:
    """An annotation as hard or soft targets, complete in every field that it answers and did not abstain from in part.

    Spans and goals are targets of their own; an empty target at their scope closes the field, and one at the covered turns closes a
    division that covers no others. Names at one place join one target."""
    origin = f"{_ANNOTATION}{annotation.annotator}"
    withheld = {abstained.field for abstained in annotation.abstained}
    places: dict[tuple[str, At], tuple[tuple[str, float], ...]] = {}
    closed: dict[Field, None] = dict.fromkeys(none.field for none in annotation.none)
    for label in annotation.labels:
        pairs = label.distribution or ((label.name, 1.0 if label.probability is None else label.probability),)
        key = (label.task, label.at)
        places[key] = (*places.get(key, ()), *pairs)
        field = scope(label)
        if field.at != label.at and field not in withheld:
            closed[field] = None
    named = tuple(Target(task, at, distribution, None, weight, origin) for (task, at), distribution in places.items())
    return named + tuple(Target(f.task, _closed_at(f, annotation), (), None, weight, origin) for f in closed)


def _closed_at(field: Field, annotation: Annotation) -> At:
    covered = annotation.covered_turns
    return field.at if covered is None or not divides(field.task) else AtGoal(covered)


def turns_of(at: At) -> tuple[int, ...] | None:
    """The turns that a place touches; None for the whole dialogue."""
    match at:
        case AtTurn(turn) | AtSpan(turn):
            return (turn,)
        case AtGoal(turns):
            return turns
        case AtDialogue():
            return None


QualityName = Literal["bad", "fair", "good"]
QUALITY_NAMES: tuple[QualityName, ...] = ("bad", "fair", "good")
_RATING_OF = {"bad": 2.0, "fair": 3.0, "good": 4.0}


def quality_name(rating: float) -> QualityName:
    """bad (dissatisfied) below 3, fair at 3, good above 3; rating on 1..5.

    Source of the three classes: Ye et al. 2023, "Modeling User Satisfaction Dynamics in Dialogue via Hawkes Process"."""
    if rating < 3:
        return "bad"
    return "good" if rating > 3 else "fair"


def to_scale(name: str) -> float:
    """A rating on 1..5 that stands for the name, where the annotator gave none."""
    return _RATING_OF[name]


def from_scale(rating: float, scale: tuple[float, float]) -> float:
    """Map a rating on `scale` = (worst, best) linearly to 1..5."""
    worst, best = scale
    return 1.0 + 4.0 * (rating - worst) / (best - worst)


Normalizer = Callable[[str, str | None], str | None]

NORMALIZERS = Registry("labelgen.normalizers", {})

TEXT = "text"
"""Origin of a value that the normalizer does not know: the words themselves."""

DEFAULT_LANGUAGE = "en"
"""Language of records without a locale."""

_CODE = 3
"""Letters of the longest code of a language (ISO 639)."""
_SPACE = re.compile(r"[^\w%$€£°.,:'~-]+")
_WORD = re.compile(r"[.,:'-]*?(-?(?:(?<!\.)\.)?\d.*?|[^.,:'-].*?)[.,:'-]*")
"""A word within punctuation; the sign and the point of a number such as -.5 are part of it."""


def normalizer(name: str) -> Normalizer:
    """The normalizer of that name. Raises UsageError for an unknown one."""
    function: Normalizer = resolve(NORMALIZERS, name, "normalizer")
    return function


@lru_cache(maxsize=4096)
def language_of(locale: str | None) -> str:
    """The language of a locale: `de` for `de-DE` and for `German`, DEFAULT_LANGUAGE for None."""
    if not locale:
        return DEFAULT_LANGUAGE
    word = re.split(r"[-_.]", locale)[0].casefold()
    if len(word) <= _CODE:
        return word
    # The C library's aliases of locales are names of languages.
    return locales.normalize(word).partition("_")[0].casefold()


_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


def find_words(words: str, text: str, after: int = 0) -> tuple[int, int] | None:
    """The first place of whole words in a text from `after` on, in code points, whatever their case; None without one.

    Scripts without spaces have no borders of words, so any place counts there."""
    if not words:
        return None
    for found in re.compile(re.escape(words), re.IGNORECASE).finditer(text, after):
        start, end = found.span()
        if not _is_inside(text, start) and not _is_inside(text, end):
            return start, end
    return None


def _is_inside(text: str, at: int) -> bool:
    """Whether a word goes on at this place."""
    return 0 < at < len(text) and all(
        c.isalnum() and not unicodedata.name(c, "").startswith(_WITHOUT_SPACES) for c in text[at - 1 : at + 1]
    )


@lru_cache(maxsize=65536)
def plain_words(text: str) -> str:
    """Words without case, accents' composition, outer punctuation and repeated space, for comparison. Signs of numbers stay."""
    low = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("−", "-")
    return " ".join(word[1] for part in _SPACE.sub(" ", low).split() if (word := _WORD.fullmatch(part)))
