"""Implicit feedback that the log records: what users press, and tools that failed."""

from collections.abc import Iterator
from typing import ClassVar

from labelgen.data.dialogue import TOOL, Dialogue, Signal
from labelgen.feedback.cues import recorded_feedback, records_feedback
from labelgen.feedback.phrases import plain


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
