"""What scripts/train_ablations.py trains: each variant is one that stands beside it with one thing changed.

Most are options of a training. Texts of turns are changed in the log. Parts that have no option are exchanged here, while the
variant is trained and judged, and nowhere else."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace
from torch import Tensor

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtSpan, Label
from labelgen.model.label_model import LabelModel
from labelgen.pretraining.corruption import MIXTURE
from labelgen.tasks.slots import SlotsHead

Text = Callable[[Dialogue], Dialogue]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """name: of its files. what: of its row. beside: the variant it differs from by one thing; None for the first.
    words: options. text: what becomes of a dialogue before it is shown. part: exchanges what has no option. encoding: what
    a frozen encoder's memory is of; variants of one encoding share it. mixture: of the pretraining that it begins with. online: turns
    are judged without later ones."""

    name: str
    group: str
    what: str
    beside: str | None = "reference"
    words: tuple[str, ...] = ()
    text: Text | None = None
    part: Callable[[], Any] = nullcontext
    encoding: str = "plain"
    mixture: tuple[tuple[str, float], ...] | None = None
    online: bool = False


def request_alone(dialogue: Dialogue) -> Dialogue:
    """Without the assistant's responses."""
    return replace(dialogue, turns=tuple(replace(turn, response="") for turn in dialogue.turns))


def one_text(dialogue: Dialogue) -> Dialogue:
    """Request and response as one text, in the request's place."""
    return replace(
        dialogue, turns=tuple(replace(t, request=_joined(t.request, t.response), response="") for t in dialogue.turns)
    )


def after_response(dialogue: Dialogue) -> Dialogue:
    """The previous response before the request, in one text; spans move with the request."""
    before = ["", *(turn.response for turn in dialogue.turns[:-1])]
    turns = [replace(t, request=_joined(said, t.request)) for said, t in zip(before, dialogue.turns, strict=True)]
    shifts = [len(new.request) - len(old.request) for new, old in zip(turns, dialogue.turns, strict=True)]
    return replace(dialogue, turns=tuple(turns), annotations=tuple(_moved(own, shifts) for own in dialogue.annotations))


def _joined(first: str, second: str) -> str:
    return f"{first} {second}" if first and second else first or second


def _moved(annotation: Annotation, shifts: list[int]) -> Annotation:
    def moved(label: Label) -> Label:
        at = label.at
        if not isinstance(at, AtSpan):
            return label
        by = shifts[at.turn]
        return replace(label, at=AtSpan(at.turn, at.start + by, at.end + by))

    return replace(annotation, labels=tuple(moved(label) for label in annotation.labels))


@contextmanager
def first_token() -> Iterator[None]:
    """A text's vector is the state of its first token, in the place of the mean of all."""

    def first(states: Tensor) -> Tensor:
        return states[:, 0].float()

    with ExitStack() as stack:
        for module in ("embedding_cache", "turn_encoder"):
            stack.enter_context(patch(f"labelgen.nn.{module}.mean_pool", first))
        yield


@contextmanager
def tokens_alone() -> Iterator[None]:
    """Slots are read from token states without the state of the turn."""
    read = SlotsHead._read

    def without(self: SlotsHead, turns: Tensor, *others: Any) -> Tensor:
        return read(self, turns * 0.0, *others)

    with patch.object(SlotsHead, "_read", without):
        yield


@contextmanager
def always_in_dialogue() -> Iterator[None]:
    """No turn is read by itself for its slots."""
    with patch.object(LabelModel, "_alone", lambda self, turns, in_dialogue: in_dialogue):
        yield


def _pretrained(left_out: str) -> tuple[tuple[str, float], ...]:
    return tuple((name, share) for name, share in MIXTURE.items() if name != left_out)


def _tasks(said: str) -> tuple[str, ...]:
    return ("--tasks", said)


def _leave_out(*names: str) -> tuple[str, ...]:
    return ("--model.leave_out", f"[{', '.join(names)}]")


_LONGER = ("--model.max_tokens", "160")
_PRETRAINING = "pretraining, beside all four objectives"

PUBLIC = (
    Variant(name="reference", group="reference", what="not pretrained, two layers, width 384, all tasks", beside=None),
    Variant(name="pretrained", group="pretraining", what="all four objectives", mixture=tuple(MIXTURE.items())),
    *(
        Variant(
            name=f"no-{name.replace('_', '-')}",
            group=_PRETRAINING,
            what=f"without {name.replace('_', ' ')}",
            beside="pretrained",
            mixture=_pretrained(name),
        )
        for name in MIXTURE
    ),
    Variant(
        name="layers-0",
        group="context",
        what="no layer: a turn's own request and response",
        words=("--model.dialogue_layers", "0"),
    ),
    Variant(name="layers-1", group="context", what="one layer", words=("--model.dialogue_layers", "1")),
    Variant(name="layers-4", group="context", what="four layers", words=("--model.dialogue_layers", "4")),
    Variant(name="width-192", group="context", what="width 192", words=("--model.dialogue_width", "192")),
    Variant(name="width-768", group="context", what="width 768", words=("--model.dialogue_width", "768")),
    Variant(name="request", group="text of a turn", what="request alone", text=request_alone),
    Variant(
        name="request-0",
        group="text of a turn",
        what="request alone, no layer",
        text=request_alone,
        words=("--model.dialogue_layers", "0"),
    ),
    Variant(
        name="one-text",
        group="text of a turn",
        what="request and response as one text",
        text=one_text,
        words=_LONGER,
        encoding="one text",
    ),
    Variant(
        name="after-response",
        group="text of a turn",
        what="previous response and request as one text, response as another",
        text=after_response,
        words=_LONGER,
        encoding="after response",
    ),
    Variant(
        name="first-token",
        group="pooling",
        what="the first token's state, not the mean of all",
        part=first_token,
        encoding="first token",
    ),
    Variant(name="tokens-alone", group="slots", what="token states without the turn's state", part=tokens_alone),
    Variant(
        name="in-dialogue", group="slots", what="turns never read by themselves for slots", part=always_in_dialogue
    ),
    Variant(name="goals", group="one task alone", what="goals", words=_tasks("{goals: {weight: 2}}")),
    Variant(name="outcome", group="one task alone", what="outcome", words=_tasks("{outcome: {}}")),
    Variant(name="intents", group="one task alone", what="intents", words=_tasks("{intents: {}}")),
    Variant(name="slots", group="one task alone", what="slots", words=_tasks("{slots: {weight: 10}}")),
    Variant(
        name="even-weights",
        group="weights of tasks",
        what="one for each task",
        words=_tasks("{goals: {}, outcome: {}, intents: {}, slots: {}}"),
    ),
    Variant(
        name="learned-weights",
        group="weights of tasks",
        what="learned, beginning with the reference's",
        words=("--optimizer.learn_task_weights", "true"),
    ),
)

_CLOCKS = ("latency_s", "gap_before_s", "gap_after_s")
_ASSISTANT = ("status", "hypothesis")
_SURE = ("asr_confidence", "nlu_confidence")
_PLACE = ("device", "locale", "domain", "screen", "woken_by")
_SOUND = ("noise_db", "volume")
_WORDS = ("request_words", "response_words")

FEATURES = (
    Variant(name="reference", group="reference", what="all features", beside=None),
    Variant(name="no-clocks", group="features", what="without clocks", words=_leave_out(*_CLOCKS)),
    Variant(name="no-status", group="features", what="without status", words=_leave_out("status")),
    Variant(name="no-hypothesis", group="features", what="without hypothesis", words=_leave_out("hypothesis")),
    Variant(name="no-feedback", group="features", what="without barge-in and stop", words=_leave_out("feedback")),
    Variant(name="no-confidences", group="features", what="without confidences", words=_leave_out(*_SURE)),
    Variant(
        name="no-categories", group="features", what="without device, domain, categories", words=_leave_out(*_PLACE)
    ),
    Variant(name="no-numbers", group="features", what="without noise and volume", words=_leave_out(*_SOUND)),
    Variant(name="no-lengths", group="features", what="without lengths in words", words=_leave_out(*_WORDS)),
    Variant(
        name="no-features",
        group="features",
        what="texts alone",
        words=_leave_out(*_CLOCKS, *_ASSISTANT, "feedback", *_SURE, *_PLACE, *_SOUND, *_WORDS),
    ),
)

_READ = ("reference", "layers-0", "request", "request-0")
CONTEXT = tuple(v for v in PUBLIC if v.name in _READ)


def _masks(name: str, share: str, what: str, beside: tuple[str | None, str]) -> tuple[Variant, Variant]:
    """A training with this share of batches whose turns see no later ones, judged with all turns and with the earlier ones alone."""
    words = ("--batch.online_share", share)
    whole = Variant(name=name, group="judged with all turns", what=what, beside=beside[0], words=words)
    return whole, dataclasses.replace(
        whole, name=f"{name}-online", group="judged online", what=what, beside=beside[1], online=True
    )


MASKS = (
    *_masks("reference", "0.0", "trained with all turns", (None, "reference")),
    *_masks("half", "0.5", "trained online in half of the batches", ("reference", "reference-online")),
    *_masks("online", "1.0", "trained online alone", ("reference", "reference-online")),
)
"""Both directions, earlier turns alone, and both masks in turn."""

TABLES = {"public": PUBLIC, "features": FEATURES, "context": CONTEXT, "masks": MASKS}
