"""Implicit feedback in words: phrases of users and assistants, and requests that are asked again."""

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from rapidfuzz import fuzz

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.feedback.cues import (
    Phrases,
    failure_strength,
    gap_s,
    gives_up,
    is_closing,
    limits_s,
    phrases,
    plain,
    recorded_feedback,
    records_feedback,
    says_stop,
    went_wrong,
)

REACH_TURNS = 2
"""A later request repeats no request."""

_LEAST_REPEATED_WORDS = 4
_LEAST_REQUEST_WORDS = 3
_NEAR = 75.0
_NEAR_AFTER_FAILURE = 65.0
_SAME_WORD = 50.0


class Stop:
    """The user stops the assistant, or gives up the request."""

    EVIDENCE = ("feedback", "request")
    PRECISION: ClassVar = {"bad": 0.75}

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads feedback of kind `stop`; and a request that is nothing but "never mind", "forget it" (strength .8), or
        "stop", "cancel that", "be quiet" (.6).

        Votes bad, words for the turn before; implicit. No signal for a plain command: it names what is to stop ("stop the
        music", "cancel my timer"); or is a bare "stop" after something that runs until it is stopped ("Playing ...", "Timer
        set ..."); or gets a response that says what was done ("Paused.", "Your booking is cancelled."). No signal either for
        an answer to an offer of more help, a no to a question, a second stop, and a request after a long gap (limits_s)."""
        recorded: set[int] = set()
        for _, turns, evidence in recorded_feedback(dialogue, "stop"):
            recorded.update(turns)
            yield Signal(kind="stop", turns=turns, vote="bad", evidence=evidence)
        _, reach_s = limits_s(dialogue)
        for t in range(1, len(dialogue.turns)):
            before, turn = dialogue.turns[t - 1 : t + 1]
            strength = (
                0.8
                if gives_up(turn.request, dialogue.locale)
                else 0.6
                if says_stop(turn.request, dialogue.locale)
                else 0.0
            )
            if strength and t - 1 not in recorded and _reacts(before, turn, reach_s, dialogue.locale):
                yield Signal(kind="stop", turns=(t - 1,), vote="bad", strength=strength, evidence=(t,))

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether a turn follows, for words, or the log records feedback, for a recorded stop."""
        in_words = turn + 1 < len(dialogue.turns) and phrases(dialogue.locale).has("giving_up", "stop")
        return in_words or records_feedback(dialogue)


def _reacts(before: Turn, turn: Turn, reach_s: float, locale: str | None) -> bool:
    words = phrases(locale)
    gap = gap_s(before, turn)
    if (gap is not None and gap > reach_s) or is_closing(before.response, locale):
        return False
    if gives_up(before.request, locale) or says_stop(before.request, locale):
        return False
    if "?" in before.response and words.match("refusing", turn.request):
        return False
    if gives_up(turn.request, locale):
        return True
    return not (words.search("runs", before.response) or words.search("stopped", turn.response))


class Correction:
    """The user corrects the assistant."""

    EVIDENCE = ("request",)
    PRECISION: ClassVar = {"bad": 0.8}
    FAMILY = "visible failure"

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads words such as "no, I meant", "not that", "the other one", "that's wrong" in a request, and "no, ..." after a
        response that asked nothing.

        Votes bad for the turn before; implicit. No signal where users change their mind ("actually, make it two"), where a no
        answers the assistant's question, also one that confirms before the action, and for the first request."""
        words = phrases(dialogue.locale)
        for t in range(1, len(dialogue.turns)):
            text = dialogue.turns[t].request
            before = dialogue.turns[t - 1].response
            if words.match("correction_opening", text):
                strength = 0.9
            elif words.search("correction", text):
                strength = 0.8
            elif (
                words.match("correction_no", text)
                and before
                and not ("?" in before or words.search("confirming", before))
            ):
                strength = 0.7
            else:
                continue
            yield Signal(kind="correction", turns=(t - 1,), vote="bad", strength=strength, evidence=(t,))

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether a request follows, which may correct, in a language whose corrections are known."""
        return turn + 1 < len(dialogue.turns) and phrases(dialogue.locale).has("correction")


class Repetition:
    """The assistant apologizes, did not understand, or repeats itself."""

    EVIDENCE = ("response", "status")
    PRECISION: ClassVar = {"bad": 0.75}
    CONTENT = True

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads responses: words of failure ("I didn't get that", "I'm sorry, but there is no room"), and four words or
        more that equal the response before.

        Votes bad for the turn itself: not understood .9, not done .8, a repeated question .6, a bare apology .5, another
        repeated response .4; implicit. Farewells and offers of more help may be repeated, and so may a pattern with other
        values in it ("the Hilton has a rating of 2")."""
        before = ""
        for t, turn in enumerate(dialogue.turns):
            strength = failure_strength(turn.response, dialogue.locale)
            text = plain(turn.response)
            if (
                not strength
                and text == before
                and text.count(" ") + 1 >= _LEAST_REPEATED_WORDS
                and not is_closing(text, dialogue.locale)
            ):
                strength = 0.6 if turn.response.rstrip().endswith("?") else 0.4
            if strength:
                yield Signal(kind="repetition", turns=(t,), vote="bad", strength=strength, evidence=(t,))
            before = text

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether there is a response."""
        return bool(dialogue.turns[turn].response)


class Gratitude:
    """The user thanks or praises the assistant."""

    EVIDENCE = ("request",)
    PRECISION: ClassVar = {"good": 0.7}

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads words of thanks and praise in a request.

        Votes good for the turn before; implicit. Half as strong where that turn visibly failed: many users
        thank out of politeness. No signal for "no thanks", "thanks anyway", "thanks for nothing", and the first request."""
        words = phrases(dialogue.locale)
        for t in range(1, len(dialogue.turns)):
            text = dialogue.turns[t].request
            if words.search("thanks", text) and not words.search("no_thanks", text):
                strength = 0.4 if went_wrong(dialogue.turns[t - 1], dialogue.locale) else 0.8
                yield Signal(kind="gratitude", turns=(t - 1,), vote="good", strength=strength, evidence=(t,))

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether a request follows, which may thank, in a language whose thanks are known."""
        return turn + 1 < len(dialogue.turns) and phrases(dialogue.locale).has("thanks")


class Rephrase:
    """The user asks the same again in nearly the same words."""

    EVIDENCE = ("request",)
    PRECISION: ClassVar = {"bad": 0.7}
    FAMILY = "visible failure"

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads requests of three words or more and the two after each, without a long gap (limits_s) where there are clocks; near is a
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

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether the turn asks for something, and another request follows."""
        return turn + 1 < len(dialogue.turns) and _asks(plain(dialogue.turns[turn].request), phrases(dialogue.locale))


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


def repeated_requests(dialogue: Dialogue) -> Iterator[RepeatedRequest]:
    """Requests that the user repeated in nearly the same words, struggling or exploring, and not in answer to a question."""
    turns, words = dialogue.turns, phrases(dialogue.locale)
    _, reach_s = limits_s(dialogue)
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
            if gap is not None and gap > reach_s:
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


def _asks(text: str, words: Phrases) -> bool:
    return text.count(" ") + 1 >= _LEAST_REQUEST_WORDS and not words.match("answering", text)


def _gone(before: str, after: str, words: Phrases) -> set[str]:
    """The removed words, where an added word is not alike to any of them; else none."""
    old, new = (set(text.split()) - words.little for text in (before, after))
    gone, come = old - new, new - old
    changed = gone and any(all(fuzz.ratio(word, other) < _SAME_WORD for other in gone) for word in come)
    return gone if changed else set()


def _served(text: str, changed: set[str], response: str, words: Phrases) -> bool:
    """Whether the response names a word that the next request replaces, or the request asked for more."""
    return not changed.isdisjoint(response.split()) or words.search("more", text) is not None
