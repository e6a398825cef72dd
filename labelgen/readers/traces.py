"""Traces of assistants: calls of a model or an agent, in any order, become the turns of a dialogue.

A trace is a tree of spans. The highest spans with messages are the exchanges; spans of tools below or next to them are steps.
Each exchange usually repeats all messages before it, so only its new ones are taken. An exchange that repeats the messages
before an answer is a regeneration of that answer; one that changes the last request is an edit of the prompt."""

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Feedback, Step, Turn
from labelgen.data.reader import exchanges
from labelgen.readers.cells import Moment, cell_id
from labelgen.readers.messages import (
    ASSISTANT,
    INSTRUCTIONS,
    USER,
    Message,
    exchange_turn,
    extra_text,
    identified_steps,
)

IdentifiedStep = tuple[str | None, Step]
"""The id of a call in the messages, and its step."""


class GivenScore(msgspec.Struct, frozen=True):
    """A score of a trace or of a span. by_user: whether it may come from a user, and not from a model or a reviewer."""

    name: str
    value: Any = None
    comment: str | None = None
    span: str | None = None
    by_user: bool = True


class WithFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """What has feedback. scores: those whose meaning is known only when all values have been seen."""

    feedback: tuple[Feedback, ...] = ()
    scores: tuple[GivenScore, ...] = ()
    extra: dict[str, Any] = {}


class Visit(WithFeedback, frozen=True):
    """One exchange with a model or an agent. start_s, end_s: seconds since 1970. error: why it failed."""

    asked: tuple[Message, ...] = ()
    answered: tuple[Message, ...] = ()
    start_s: float | None = None
    end_s: float | None = None
    error: str | None = None
    steps: tuple[IdentifiedStep, ...] = ()


class Trace(WithFeedback, frozen=True):
    """What one trace says of its conversation. feedback, scores: on the whole dialogue."""

    visits: tuple[Visit, ...] = ()
    user: str | None = None
    device: str | None = None
    locale: str | None = None


Of = TypeVar("Of", bound=WithFeedback)


class Span(msgspec.Struct, frozen=True):
    """One span of a trace. visit: its messages, if it has any. step: that which it is. conversation, user: whose it is, where it
    says so itself."""

    id: str
    parent: str | None = None
    start_s: float | None = None
    visit: Visit | None = None
    step: IdentifiedStep | None = None
    conversation: str | None = None
    user: str | None = None


NO_SPAN = "\x00"
"""Begins the id of what stands for a trace and is no span."""


def step_span(
    identity: str, parent: str | None, times: tuple[float | None, float | None], step: Step, call: str | None = None
) -> Span:
    """The span of a step. times: its begin and end, which give the latency. call: its id in the messages."""
    start_s, end_s = times
    if start_s is not None and end_s is not None:
        step = replace(step, latency_s=end_s - start_s)
    return Span(identity, parent, start_s, step=(call, step))


def visits_of(spans: Sequence[Span]) -> tuple[tuple[Visit, ...], dict[str, int]]:
    """The exchanges of a trace by time, with their steps, and the number of the exchange that each span belongs to.

    Spans with messages below a span with messages are how the assistant works, and no exchanges with the user."""
    by_id = {span.id: span for span in spans}
    tops = {span.id: _top(span, by_id) for span in spans}
    order = sorted(
        {top.id for top in tops.values() if top is not None and top.visit is not None},
        key=lambda name: (time_or_last(by_id[name].start_s), name),
    )
    number = {name: k for k, name in enumerate(order)}
    steps: list[list[IdentifiedStep]] = [[] for _ in order]
    belongs: dict[str, int] = {}
    for span in sorted(spans, key=lambda span: (time_or_last(span.start_s), span.id)):
        top = tops[span.id]
        if top is not None and top.id in number:
            belongs[span.id] = number[top.id]
        elif order:
            earlier = sum(time_or_last(by_id[name].start_s) <= time_or_last(span.start_s) for name in order)
            belongs[span.id] = max(0, earlier - 1)
        if span.step is not None and span.id in belongs:
            steps[belongs[span.id]].append(span.step)
    visits = []
    for name, used in zip(order, steps, strict=True):
        visit = by_id[name].visit or Visit()
        extra = visit.extra if name.startswith(NO_SPAN) else {**visit.extra, "span": name}
        visits.append(replace(visit, steps=tuple(used), extra=extra))
    return tuple(visits), belongs


def _top(span: Span, by_id: Mapping[str, Span]) -> Span | None:
    """The highest span with messages above a span, or itself."""
    top, seen = None, set()
    at: Span | None = span
    while at is not None and at.id not in seen:
        seen.add(at.id)
        top = at if at.visit is not None else top
        at = by_id.get(at.parent) if at.parent is not None else None
    return top


def time_or_last(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


def dialogue_of(identity: str, traces: Iterable[Trace]) -> Dialogue:
    """The dialogue of a conversation's traces, in the order of their exchanges' times."""
    parts = list(traces)
    visits = sorted((visit for trace in parts for visit in trace.visits), key=lambda visit: time_or_last(visit.start_s))
    start_s = next((visit.start_s for visit in visits if visit.start_s is not None), None)
    history = _History(any(message.role == ASSISTANT for visit in visits for message in visit.asked))
    for visit in visits:
        history.add(visit)
    turns: list[Turn] = []
    last, taken = 0, 0
    for exchange in exchanges(history.messages, lambda message: message.role == USER):
        last += len(exchange.user) + len(exchange.assistant)
        end = bisect_left(history.ends, last)
        turns.append(_turn(exchange.user, exchange.assistant, visits[taken:end], start_s or 0.0))
        taken = end
    extra = {name: value for part in reversed(parts) for name, value in part.extra.items()}
    return Dialogue(
        id=identity,
        turns=tuple(turns),
        start=None if start_s is None else Moment(start_s, "epoch").iso(),
        feedback=tuple(item for part in parts for item in part.feedback),
        extra=extra_text(extra),
        user=next((user for part in parts if (user := cell_id(part.user, of_user=True)) is not None), None),
        device=next((part.device for part in parts if part.device is not None), None),
        locale=next((part.locale for part in parts if part.locale is not None), None),
    )


def _turn(user: Sequence[Message], assistant: Sequence[Message], visits: Sequence[Visit], start_s: float) -> Turn:
    turn = exchange_turn(user, assistant, start_s)
    steps = identified_steps(assistant)
    free = set(range(len(steps)))
    for call, step in (one for visit in visits for one in visit.steps):
        place = next((k for k in sorted(free) if _is_call(steps[k], (call, step))), None)
        if place is None:
            steps.append((call, step))
            continue
        free.discard(place)
        known = steps[place][1]
        arguments = known.arguments if known.arguments is not None else step.arguments
        result = known.result if known.result is not None else step.result
        name, error = known.name or step.name, step.error or known.error
        steps[place] = (call, replace(step, name=name, arguments=arguments, result=result, error=error))
    failed = next((visit.error for visit in visits if visit.error is not None), None)
    status = "error" if failed is not None and not turn.response else "tool_call" if steps else None
    extras = [visit.extra for visit in visits if visit.extra]
    extra = {
        **json.loads(turn.extra or "{}"),
        **({"spans": extras} if extras else {}),
        **({"error": failed} if failed else {}),
    }
    return replace(
        turn,
        steps=tuple(step for _, step in steps),
        status=status,
        feedback=(*turn.feedback, *(item for visit in visits for item in visit.feedback)),
        extra=extra_text(extra),
    )


def _is_call(one: IdentifiedStep, other: IdentifiedStep) -> bool:
    if one[0] is not None and other[0] is not None:
        return one[0] == other[0]
    return (one[1].kind, one[1].name) == (other[1].kind, other[1].name)


_AT_ONCE_S = 1.0


def sessions_of(traces: Sequence[Trace], gap: float | None) -> list[Sequence[Trace]]:
    """The traces of each dialogue: those between pauses of more than `gap` seconds. Feedback on the whole stays with the first."""
    if gap is None:
        return [traces]
    timed = sorted(
        ((trace, visit) for trace in traces for visit in trace.visits), key=lambda one: time_or_last(one[1].start_s)
    )
    sessions: list[Sequence[Trace]] = []
    parts: list[Trace] = [replace(trace, visits=()) for trace in traces if not trace.visits]
    last = math.inf
    for trace, visit in timed:
        if time_or_last(visit.start_s) - last > gap:
            sessions.append(parts)
            parts = []
        parts.append(replace(trace, visits=(visit,)))
        last = time_or_last(visit.end_s if visit.end_s is not None else visit.start_s)
    return [*sessions, parts]


class _History:
    """The messages of a conversation so far; each exchange adds what is new in it. ends: index of the last message of each.

    repeats: whether calls of this conversation repeat the messages before them. Where none does, an equal request is the same
    call only if it overlaps with the one before or follows at once; else the user said the same again."""

    def __init__(self, repeats: bool) -> None:
        self.messages: list[Message] = []
        self.ends: list[int] = []
        self._repeats = repeats
        self._begun = 0
        self._end_s = -math.inf

    def add(self, visit: Visit) -> None:
        asked = [_at(message, visit.start_s) for message in visit.asked if message.role != INSTRUCTIONS]
        answered = [_at(message, visit.end_s) for message in visit.answered if message.role != INSTRUCTIONS]
        same = _common(self.messages, asked)
        again = self._repeats or visit.start_s is None or visit.start_s <= self._end_s + _AT_ONCE_S
        if again and answered and 0 < same == len(asked) < len(self.messages) and self._begun < same:
            replaced = self.messages[same:]
            text = "\n".join(m.text for m in replaced if m.role == ASSISTANT and m.text)
            del self.messages[same:]
            self.ends = [min(end, same - 1) for end in self.ends]
            if [m.said for m in answered] == [m.said for m in replaced]:
                answered = replaced  # two spans of one call
            elif text:
                answered[-1] = _with(answered[-1], Feedback(kind="regenerate", text=text))
            self._add(answered)
        else:
            self._add([*self._new(asked, same), *answered])
        self.ends.append(max(0, len(self.messages) - 1))
        end_s = visit.end_s if visit.end_s is not None else visit.start_s
        self._end_s = max(self._end_s, -math.inf if end_s is None else end_s)

    def _add(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.role == USER:
                self._begun = len(self.messages)
            self.messages.append(message)

    def _new(self, asked: list[Message], same: int) -> list[Message]:
        """The messages that are not known yet. same: how many of them are the first of those known."""
        if same == len(self.messages):
            return asked[same:]
        for overlap in range(min(len(asked), len(self.messages)), 0, -1):
            if _common(self.messages[-overlap:], asked) == overlap:
                return asked[overlap:]
        last = max((k for k, message in enumerate(asked) if message.role == USER), default=None)
        if last is None:
            return asked
        if same == last and same and self.messages[same].role == USER:
            self.messages[same] = _with(self.messages[same], Feedback(kind="edit", text=asked[last].text))
            return asked[last:]
        begun = self._begun
        if self.messages[begun].said == asked[last].said and not any(m.text for m in self.messages[begun + 1 :]):
            known = {message.said for message in self.messages[begun:]}
            return [message for message in asked[last:] if message.said not in known]
        return asked[last:]


def _with(message: Message, feedback: Feedback) -> Message:
    return replace(message, feedback=(*message.feedback, feedback))


def _common(known: Sequence[Message], asked: Sequence[Message]) -> int:
    """Number of first messages that are equal."""
    same = 0
    for a, b in zip(known, asked, strict=False):
        if a.said != b.said:
            break
        same += 1
    return same


def _at(message: Message, seconds: float | None) -> Message:
    return replace(message, time_s=seconds) if message.time_s is None and seconds is not None else message


def homes_of(spans: Sequence[Span], identity: str) -> dict[str, str]:
    """The conversation of each span: that which it, or the nearest span above, names; else `identity`. How the assistant works
    below an exchange belongs to the conversation of the exchange, whatever a sub-agent calls its own."""
    by_id = {span.id: span for span in spans}
    homes = {}
    for span in spans:
        at, seen = _top(span, by_id) or span, set()
        while at.conversation is None and at.parent in by_id and at.id not in seen:
            seen.add(at.id)
            at = by_id[at.parent]
        homes[span.id] = at.conversation or identity
    return homes


def given_on(of: Of, items: Sequence[Feedback | GivenScore]) -> Of:
    """A visit or trace with what was given on it."""
    feedback = tuple(item for item in items if isinstance(item, Feedback))
    scores = tuple(item for item in items if isinstance(item, GivenScore))
    return replace(of, feedback=(*of.feedback, *feedback), scores=(*of.scores, *scores))
