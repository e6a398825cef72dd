"""Content: the fields of a dialogue from which a verdict can be told before its user reacts.

| verdict of | content | evidence |
| --- | --- | --- |
| a turn | requests, their sound, and the assistant's side up to it | what follows and its sound; feedback that the log recorded |
| a goal, the dialogue | the opening request, its sound, the assistant's side | later requests and their sound; gaps; the end; recorded feedback |

The assistant's side is what it said, did and believed: responses, statuses, steps, categories, confidences. Farewells of the assistant
at the end show that the user took leave, so they are no content. Where people judged and no target comes from feedback, nothing is
evidence, and later words and voices are content too. This file decides for every reader: members of a model, EM and `explain`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labelgen.data.dialogue import SPEAKER, Dialogue
from labelgen.data.labels import At, AtTurn
from labelgen.features.features import categories_of, words_of
from labelgen.features.layout import Voice
from labelgen.features.ngrams import turns_at
from labelgen.feedback.cues import is_closing
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import FADE_TURNS, prior_log_odds
from labelgen.feedback.signal import detector, find_signals

TEXTS = ("request", "response", "earlier request", "other responses")
"""Names of the text fields of a place: of a turn its request and response, and those of the turn before; of a goal or dialogue its
opening request, its last response, the response to the opening request, and all responses."""

LATER = ("next request", "next response")
"""Two more fields where later words are content: of the turn after; of a goal or dialogue its last request, and all requests."""

NUMBERS = (
    *("turns", "request_words", "response_words", "request_in_response", "response_in_request", "request_in_earlier"),
    *("response_repeated", "asks", "asr_confidence", "nlu_confidence", "latency_s", "tool_errors"),
)
"""Surface features: counts as logarithms, shares of distinct words that another text has, and the confidences of the assistant."""

_LONGEST_FAREWELL = 12
"""Words of a response that only takes leave, at most."""


@dataclass(frozen=True, slots=True)
class PlaceContent:
    """The content of one place. texts: see TEXTS, LATER. categories: `name=value` -> how often, 0..1. numbers: see NUMBERS; those that
    are missing are left out. rules: log-odds of good, in nats, by detectors that read content alone. voice: of a turn's request, or a
    goal's opening request, relative to earlier ones; where later words are content, of the request that follows, or of all but the
    opening one, relative to the whole dialogue; None without sound."""

    texts: tuple[str, ...]
    categories: Mapping[str, float]
    numbers: Mapping[str, float]
    rules: float
    voice: NDArray[np.float32] | None = None


def contents_of(
    dialogue: Dialogue, places: Sequence[At], later: bool = False, voices: Sequence[Voice | None] = ()
) -> list[PlaceContent]:
    """The content of places of one dialogue. No bit of it depends on evidence of the place. later: later words are no evidence. voices: of
    the turns; () without sound."""
    if not dialogue.turns:
        return [PlaceContent(("",) * len(TEXTS + LATER if later else TEXTS), {}, {}, 0.0) for _ in places]
    read = _Read(dialogue, later, voices)
    return [read.turn(at.turn) if isinstance(at, AtTurn) else read.several(at) for at in places]


def content_kinds() -> tuple[str, ...]:
    """Detectors that read content alone, so that their signals are no witnesses."""
    return tuple(kind for kind in DETECTORS if getattr(detector(kind), "CONTENT", False))


class _Read:
    """What several places of a dialogue share."""

    def __init__(self, dialogue: Dialogue, later: bool, voices: Sequence[Voice | None] = ()) -> None:
        self.dialogue, self.turns, self.later = dialogue, dialogue.turns, later
        self.voices = voices or (None,) * len(dialogue.turns)
        self.requests = [frozenset(words_of(turn.request)) for turn in dialogue.turns]
        self.responses = [frozenset(words_of(turn.response)) for turn in dialogue.turns]
        self.rules = [0.0] * len(dialogue.turns)
        for signal in find_signals(dialogue, content_kinds()):
            for t in signal.turns:
                self.rules[t] += prior_log_odds(
                    signal.kind, "good" if signal.vote == "good" else "bad", signal.strength
                )

    def turn(self, t: int) -> PlaceContent:
        turn, before = self.turns[t], self.turns[t - 1] if t else None
        texts: tuple[str, ...] = (
            turn.request,
            turn.response,
            before.request if before else "",
            before.response if before else "",
        )
        if self.later:
            after = self.turns[t + 1] if t + 1 < len(self.turns) else None
            texts += (after.request, after.response) if after else ("", "")
        numbers = {"turns": math.log1p(t), **dict(self._numbers(t, self.requests[t]))}
        if before is not None:
            numbers.update(_share("request_in_earlier", self.requests[t], self.requests[t - 1]))
        voice = self._voice(t, range(t + 1, min(t + 2, len(self.turns))))
        return PlaceContent(texts, dict.fromkeys(self._categories(t), 1.0), numbers, self.rules[t], voice)

    def several(self, at: At) -> PlaceContent:
        inside = list(turns_at(at, len(self.turns)))
        voice = self._voice(inside[0], inside[1:])
        requests = [self.turns[t].request for t in inside]
        while len(inside) > 1 and self._parts(inside[-1]):
            inside.pop()
        first, last = inside[0], inside[-1]
        responses = "\n".join(self.turns[t].response for t in inside)
        texts: tuple[str, ...] = (
            self.turns[first].request,
            self.turns[last].response,
            self.turns[first].response,
            responses,
        )
        if self.later:
            texts += (requests[-1], "\n".join(requests))
        categories: dict[str, float] = {}
        for t in inside:
            for name in self._categories(t):
                categories[name] = categories.get(name, 0.0) + 1.0 / len(inside)
        categories.update({f"last {name}": 1.0 for name in self._categories(last)})
        found: dict[str, list[float]] = {}
        for t in inside:
            for name, value in self._numbers(t, self.requests[first]):
                found.setdefault(name, []).append(value)
        numbers = {name: sum(values) / len(values) for name, values in found.items()}
        numbers["turns"] = math.log1p(len(inside))
        rules = sum(self.rules[t] * 0.5 ** ((len(inside) - 1 - k) / FADE_TURNS) for k, t in enumerate(inside))
        return PlaceContent(texts, categories, numbers, rules, voice)

    def _voice(self, opening: int, after: Sequence[int]) -> NDArray[np.float32] | None:
        if self.later:
            heard = [voice.whole for t in after if (voice := self.voices[t]) is not None]
            return np.mean(heard, axis=0) if heard else None
        own = self.voices[opening]
        return None if own is None else own.so_far

    def _parts(self, t: int) -> bool:
        response = self.turns[t].response
        return len(response.split()) <= _LONGEST_FAREWELL and is_closing(response, self.dialogue.locale)

    def _categories(self, t: int) -> Iterator[str]:
        for name, value in categories_of(self.dialogue, self.turns[t]):
            if name not in ("feedback", SPEAKER):
                yield f"{name}={value}"

    def _numbers(self, t: int, request: frozenset[str]) -> Iterator[tuple[str, float]]:
        """Of the response of a turn to a request."""
        turn, response = self.turns[t], self.responses[t]
        yield "request_words", math.log1p(len(request))
        yield "response_words", math.log1p(len(turn.response.split()))
        yield from _share("request_in_response", request, response)
        yield from _share("response_in_request", response, request)
        if t:
            yield "response_repeated", max(_alike(response, other) for other in self.responses[:t][-5:])
        yield "asks", float(turn.response.rstrip().endswith("?"))
        for name in ("asr_confidence", "nlu_confidence"):
            if (value := getattr(turn, name)) is not None:
                yield name, value
        if turn.time_s is not None and turn.response_time_s is not None:
            yield "latency_s", math.log1p(max(turn.response_time_s - turn.time_s, 0.0))
        if turn.steps:
            yield "tool_errors", math.log1p(sum(step.error is not None for step in turn.steps))


def _share(name: str, of: frozenset[str], within: frozenset[str]) -> Iterator[tuple[str, float]]:
    if of:
        yield name, len(of & within) / len(of)


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 0.0
