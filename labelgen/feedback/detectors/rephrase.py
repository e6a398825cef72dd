"""Rephrase: the user asks the same again in nearly the same words."""

from collections.abc import Iterator
from typing import NamedTuple

from rapidfuzz import fuzz

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.feedback.cues import gap_s, went_wrong
from labelgen.feedback.phrases import Phrases, phrases, plain

EVIDENCE = ("request",)
PRECISION = {"bad": 0.7}
FAMILY = "visible failure"

REACH_TURNS = 2
REACH_S = 90.0
_LEAST_WORDS = 3
_NEAR = 75.0
_NEAR_AFTER_FAILURE = 65.0
_SAME_WORD = 50.0


class RepeatedRequest(NamedTuple):
    """A request and a later one that is nearly the same. alike: 0..100. failed: the first visibly failed. struggles: the user
    tries again. explores: the first was served, as far as the response shows, and the user wants another thing of the same
    kind. Neither where it is unclear."""

    turn: int
    later: int
    alike: float
    failed: bool
    struggles: bool
    explores: bool


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads requests of three words or more and the two after each, within 90 seconds where there are clocks; near is a
    normalized similarity (edits, or edits of the sorted words) of 75 of 100, or 65 after a visible failure.

    Votes bad for the earlier turn (struggle), as strong as the two are alike; implicit. No signal where a word was replaced
    by one that is not alike ("weather in Paris", "weather in Rome"), or where the two are equal and nothing visibly
    failed ("next song" twice): that may be exploration. No signal either for an answer to the assistant: "yes, that is
    correct", or the same request with the detail it asked for. Exploration was measured, and is no evidence of a good
    turn (docs/explanation/decisions.md)."""
    for pair in repeated_requests(dialogue):
        if pair.struggles:
            strength = pair.alike / (100.0 if pair.failed else 125.0)
            yield Signal(kind="rephrase", turns=(pair.turn,), vote="bad", strength=strength, evidence=(pair.later,))


def repeated_requests(dialogue: Dialogue) -> Iterator[RepeatedRequest]:
    """Requests that the user repeated in nearly the same words, struggling or exploring, and not in answer to a question."""
    turns, words = dialogue.turns, phrases(dialogue.locale)
    texts = [plain(turn.request) for turn in turns]
    asks = [_asks(text, words) for text in texts]
    for t, text in enumerate(texts):
        if not asks[t]:
            continue
        failed = went_wrong(turns[t], dialogue.locale)
        least = _NEAR_AFTER_FAILURE if failed else _NEAR
        for later in range(t + 1, min(t + 1 + REACH_TURNS, len(turns))):
            if not asks[later]:
                continue
            gap = gap_s(turns[t], turns[later])
            if gap is not None and gap > REACH_S:
                break
            alike = fuzz.ratio(text, texts[later], score_cutoff=least) or fuzz.token_sort_ratio(
                text, texts[later], score_cutoff=least
            )
            if not alike:
                continue
            if failed or "?" not in turns[t].response:
                changed = _gone(text, texts[later], words)
                struggles = not changed and (failed or text != texts[later])
                served = not failed and _served(text, changed, plain(turns[t].response), words)
                yield RepeatedRequest(t, later, alike, failed, struggles, served and not struggles)
            break


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the turn asks for something, and another request follows."""
    return turn + 1 < len(dialogue.turns) and _asks(plain(dialogue.turns[turn].request), phrases(dialogue.locale))


def _asks(text: str, words: Phrases) -> bool:
    return text.count(" ") + 1 >= _LEAST_WORDS and not words.match("answering", text)


def _gone(before: str, after: str, words: Phrases) -> set[str]:
    """The removed words, where an added word is not alike to any of them; else none."""
    old, new = (set(text.split()) - words.little for text in (before, after))
    gone, come = old - new, new - old
    changed = gone and any(all(fuzz.ratio(word, other) < _SAME_WORD for other in gone) for word in come)
    return gone if changed else set()


def _served(text: str, changed: set[str], response: str, words: Phrases) -> bool:
    """Whether the response names a word that the next request replaces, or the request asked for more."""
    return not changed.isdisjoint(response.split()) or words.search("more", text) is not None
