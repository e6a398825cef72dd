"""Feedback that the log recorded: users who were asked, or who rate of their own accord; regenerations, edits, copies and errors of tools."""

from collections.abc import Iterator
from statistics import fmean
from typing import ClassVar

from labelgen.data.dialogue import TOOL, Dialogue, Feedback, Signal
from labelgen.data.labels import from_scale, quality_name
from labelgen.feedback.cues import (
    Vote,
    asks_if_served,
    is_recorded,
    phrases,
    plain,
    recorded_feedback,
    records_feedback,
)


class Answer:
    """The user's yes or no to "did I answer your question?"."""

    EVIDENCE = ("feedback", "request")
    PRECISION: ClassVar = {"good": 0.95, "bad": 0.95}

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads feedback of kind `answer`, and a request that says yes or no to the assistant's question whether it helped.

        Votes good for yes and bad for no; explicit. It is about the turn that is named, else the turn that asked, else
        (feedback of the dialogue) all turns. Any other answer is no signal."""
        recorded: set[int] = set()
        for feedback, turns, evidence in recorded_feedback(dialogue, "answer"):
            if feedback.answer in ("yes", "no"):
                vote: Vote = "good" if feedback.answer == "yes" else "bad"
                recorded.update(turns if evidence else ())
                yield Signal(kind="answer", turns=turns, vote=vote, explicit=True, evidence=evidence)
        words = phrases(dialogue.locale)
        for t in range(1, len(dialogue.turns)):
            reply = dialogue.turns[t].request
            vote_in_words: Vote | None = (
                "bad" if words.match("denying", reply) else "good" if words.match("affirming", reply) else None
            )
            if (
                vote_in_words
                and t - 1 not in recorded
                and asks_if_served(dialogue.turns[t - 1].response, dialogue.locale)
            ):
                yield Signal(
                    kind="answer", turns=(t - 1,), vote=vote_in_words, strength=0.9, explicit=True, evidence=(t,)
                )

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether the user was asked, in a response before another request, or an answer is recorded."""
        question = turn + 1 < len(dialogue.turns) and asks_if_served(dialogue.turns[turn].response, dialogue.locale)
        return question or is_recorded(dialogue, turn, "answer")


class Rating:
    """Stars and other ratings, on a scale or in words."""

    EVIDENCE = ("feedback", "request")
    PRECISION: ClassVar = {"good": 0.9, "bad": 0.9}

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads feedback of kind `rating` (1 to 5 where no scale is given), and requests that only say a rating, such as
        "five stars" or "I'd rate that 2 out of 5".

        Votes good above the middle of the scale and bad below, as strong as its distance from it, and fair at the middle;
        explicit. No signal for a rating outside its scale. Words are about the turn before, feedback about the turn that it
        names or that holds it, feedback of the dialogue about all turns. Words in a turn with a recorded rating are not read."""
        rated: set[int] = set()
        words = phrases(dialogue.locale)
        for feedback, turns, evidence in recorded_feedback(dialogue, "rating"):
            scale = feedback.scale or (1.0, 5.0)
            if feedback.rating is not None and scale[0] != scale[1] and min(scale) <= feedback.rating <= max(scale):
                rated.update(evidence)
                yield _rating(from_scale(feedback.rating, scale), turns, evidence)
        for t, turn in enumerate(dialogue.turns):
            if t and t not in rated:
                said = words.fullmatch("rating", turn.request)
                if said:
                    number = said["rating"]
                    rating = float(words.numbers.get(number, number))
                    yield _rating(max(rating, 1.0), (t - 1,), (t,))

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether a request follows, which may be a rating, or one is recorded."""
        in_words = turn + 1 < len(dialogue.turns) and phrases(dialogue.locale).has("rating")
        return in_words or is_recorded(dialogue, turn, "rating")


def _rating(rating: float, turns: tuple[int, ...], evidence: tuple[int, ...]) -> Signal:
    """rating: on 1..5."""
    strength = min(1.0, abs(rating - 3.0) / 2.0) or 1.0
    return Signal(
        kind="rating", turns=turns, vote=quality_name(rating), strength=strength, explicit=True, evidence=evidence
    )


class Questionnaire:
    """The user's answers to a closing questionnaire."""

    EVIDENCE = ("feedback",)
    PRECISION: ClassVar = {"good": 0.75, "bad": 0.75}

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads feedback of kind `questionnaire`, of which there may be several about the same turns: ratings on a scale (1
        to 5 where none is given), and a no to a question that praises ("was it helpful?", "did you enjoy it?").

        One vote for all of them together, good or bad by their mean, and as strong as its distance from the middle; explicit. No
        signal for a rating outside its scale, an answer to any other question, and a yes: hardly anybody denies that an
        assistant was polite, and in STAR a yes does not show that the task was done."""
        about: dict[tuple[int, ...], list[tuple[float, tuple[int, ...]]]] = {}
        for feedback, turns, evidence in recorded_feedback(dialogue, "questionnaire"):
            lean = _lean(feedback, dialogue.locale)
            if lean is not None:
                about.setdefault(turns, []).append((lean, evidence))
        for turns, items in about.items():
            mean = fmean(lean for lean, _ in items)
            if mean:
                yield Signal(
                    kind="questionnaire",
                    turns=turns,
                    vote="good" if mean > 0.0 else "bad",
                    strength=min(1.0, abs(mean)),
                    explicit=True,
                    evidence=tuple(sorted({t for _, evidence in items for t in evidence})),
                )

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether the user was asked something about the turn or the dialogue."""
        return is_recorded(dialogue, turn, "questionnaire")


def _lean(feedback: Feedback, locale: str | None) -> float | None:
    """From -1, the worst, to 1; None for feedback that says nothing."""
    if feedback.rating is not None:
        scale = feedback.scale or (1.0, 5.0)
        if scale[0] == scale[1] or not min(scale) <= feedback.rating <= max(scale):
            return None
        return (from_scale(feedback.rating, scale) - 3.0) / 2.0
    words, question = phrases(locale), feedback.question or ""
    praises = words.search("praises", question) is not None and not words.search("negated", question)
    return -1.0 if feedback.answer == "no" and praises else None


class _Recorded:
    """A detector of one kind of recorded feedback."""

    EVIDENCE = ("feedback",)

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether the log records feedback."""
        return records_feedback(dialogue)


class Regenerate(_Recorded):
    """The user asked for another answer to the same request."""

    PRECISION: ClassVar = {"bad": 0.7}
    FAMILY = "another try"

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads feedback of kind `regenerate`.

        Votes bad; implicit. Half as strong where the feedback has the replaced response as its text: the response of the turn is
        then the one that the user kept."""
        for feedback, turns, evidence in recorded_feedback(dialogue, "regenerate"):
            strength = 0.5 if feedback.text else 1.0
            yield Signal(kind="regenerate", turns=turns, vote="bad", strength=strength, evidence=evidence)


class Retry(_Recorded):
    """The user sent the same request again by a button."""

    PRECISION: ClassVar = {"bad": 0.75}
    FAMILY = "another try"

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads feedback of kind `retry`.

        Votes bad; implicit. The same request in words is `rephrase`."""
        for _, turns, evidence in recorded_feedback(dialogue, "retry"):
            yield Signal(kind="retry", turns=turns, vote="bad", evidence=evidence)


class Edit(_Recorded):
    """The user changed the request after the response, or corrected the response."""

    PRECISION: ClassVar = {"bad": 0.7}

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads feedback of the kinds `edit` (of the prompt) and `edit_response`.

        Votes bad; implicit. An edit of the prompt is weaker (.8): the user may have changed the mind. No signal where the text of
        the feedback has the same words as before."""
        for kind, strength in (("edit", 0.8), ("edit_response", 1.0)):
            for feedback, turns, evidence in recorded_feedback(dialogue, kind):
                turn = dialogue.turns[turns[0]]
                before = turn.request if kind == "edit" else turn.response
                if not (feedback.text and len(turns) == 1 and plain(feedback.text) == plain(before)):
                    yield Signal(kind="edit", turns=turns, vote="bad", strength=strength, evidence=evidence)


class Copy(_Recorded):
    """The user copied the response."""

    PRECISION: ClassVar = {"good": 0.7}

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads feedback of kind `copy`; several copies of one response count once.

        Votes good; implicit."""
        seen = set()
        for _, turns, evidence in recorded_feedback(dialogue, "copy"):
            if turns not in seen:
                seen.add(turns)
                yield Signal(kind="copy", turns=turns, vote="good", evidence=evidence)


class ToolError:
    """A tool that the assistant called failed."""

    EVIDENCE = ("steps",)
    PRECISION: ClassVar = {"bad": 0.65}
    CONTENT = True

    @staticmethod
    def detect(dialogue: Dialogue) -> Iterator[Signal]:
        """Reads the errors of a turn's steps.

        Votes bad for the turn (strength .8); weaker (.3) where every tool that failed was called again without an error; implicit.
        Users see an error only in the response, so a failure that the assistant got around says little."""
        for t, turn in enumerate(dialogue.turns):
            last = {step.name: step for step in turn.steps if step.kind == TOOL}
            if any(step.kind == TOOL and step.error is not None for step in turn.steps):
                strength = 0.8 if any(step.error is not None for step in last.values()) else 0.3
                yield Signal(kind="tool_error", turns=(t,), vote="bad", strength=strength, evidence=(t,))

    @staticmethod
    def observable(dialogue: Dialogue, turn: int) -> bool:
        """Whether the turn has calls of tools."""
        return any(step.kind == TOOL for step in dialogue.turns[turn].steps)
