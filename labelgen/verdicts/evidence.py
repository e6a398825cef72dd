"""Evidence of where a goal broke: what a log shows about each of its turns, as named facts that a regression weights.

A fact is a category `name=value`. Numbers fall into bins, and a number that the log lacks is the value `?`, so each fact says what it
is, and no scale has to be learned. Facts of a turn are the assistant's own record of it; those named `next`, `later` and `end` are
what the user did then, and whether later turns of the goal repaired it; those named `before` are what already went wrong in the goal."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rapidfuzz import fuzz

from labelgen.data.dialogue import TOOL, Dialogue, Step, Turn
from labelgen.data.labels import AtTurn
from labelgen.features.features import words_of
from labelgen.feedback.cues import failure_strength
from labelgen.verdicts.content import PlaceContent

CALLS = ("tool_error", "wrong_tool", "wrong_argument", "ignored_result", "loop")
"""Ways in which the tool calls of an agent go wrong."""
MISSING = "?"
_TENTHS = tuple(k / 10 for k in range(1, 10))
_FEW = (1.0, 2.0, 3.0, 5.0)
_SAME = 0.6
"""Share of common words from which two requests, or two calls, are one again."""
_ADMITS = 0.8
"""Strength from which a response says that something was not understood or not done (feedback/cues.py)."""
_SERVED = (None, "answered", "ok", "clarify")
_SOUNDS = 60.0
"""Similarity of letters, of 100, from which two words sound alike."""
_UNSAID = frozenset(["the", "a", "an", "my", "to", "in", "on", "of", "for", "please", "and", "i", "you", "it", "is"])


def evidence_of(
    dialogue: Dialogue, goals: Sequence[tuple[int, ...]], places: Sequence[AtTurn], later: bool = True
) -> list[PlaceContent]:
    """The evidence at turns of a dialogue; of several goals of a turn the first counts, and without one it is a goal of its own.

    Texts: request and response of the turn, of the turn before and of the turn after in its goal. later: later turns have happened."""
    goal_of = {t: goal for goal in reversed(goals) for t in goal}
    read = [_Read(turn, dialogue.locale) for turn in dialogue.turns]
    return [_place(dialogue, read, goal_of.get(at.turn, (at.turn,)), at.turn, later) for at in places]


class _Read:
    """What one turn shows by itself."""

    def __init__(self, turn: Turn, locale: str | None) -> None:
        self.turn = turn
        self.request, self.response = frozenset(words_of(turn.request)), frozenset(words_of(turn.response))
        self.meant = self.request - _UNSAID
        self.admits = failure_strength(turn.response, locale)
        hypothesis = turn.hypothesis
        self.intents = None if hypothesis is None else "+".join(sorted(i.name for i in hypothesis.intents)) or "-"
        self.named = frozenset(words_of((self.intents or "").replace("_", " "))) - _UNSAID
        self.slots = None if hypothesis is None or hypothesis.slots is None else hypothesis.slots
        self.calls = [step for step in turn.steps if step.kind == TOOL]

    @property
    def failed_openly(self) -> bool:
        """Whether the response says that it failed, a step has an error, or the status is none of an answer."""
        return self.admits >= _ADMITS or any(s.error for s in self.turn.steps) or self.turn.status not in _SERVED


def _place(dialogue: Dialogue, read: Sequence[_Read], goal: Sequence[int], t: int, later: bool) -> PlaceContent:
    k = goal.index(t)
    before, after = [read[i] for i in goal[:k]], [read[i] for i in goal[k + 1 :]]
    here = read[t]
    found = [*_own(here), *_calls(here, before), *_before(here, before)]
    if later:
        found += [*_later(here, after), *_end(dialogue, read, goal, t)]
    facts = {f"{name}={value}" for name, value in found}
    neighbors = (here, before[-1] if before else None, *([after[0] if after else None] if later else []))
    texts = tuple(text for one in neighbors for text in ((one.turn.request, one.turn.response) if one else ("", "")))
    return PlaceContent(texts, dict.fromkeys(sorted(facts), 1.0), {}, 0.0)


def _own(here: _Read) -> Iterator[tuple[str, str]]:
    """Confidences, n-best texts, hypothesis, status and words of the turn."""
    turn = here.turn
    yield "status", turn.status or MISSING
    yield "asr_confidence", _bin(turn.asr_confidence, _TENTHS)
    yield "nlu_confidence", _bin(turn.nlu_confidence, _TENTHS)
    yield "intent", here.intents or MISSING
    if here.intents:
        yield "intent named", _bin(_share(here.named, here.request), (0.01, 0.51, 1.0))
    yield "request words", _bin(float(len(here.request)), (1, 2, 3, 4, 6, 9, 14))
    yield "admits", f"{here.admits:g}"
    yield "asks", str(turn.response.rstrip().endswith("?"))
    yield "words in response", _bin(_share(here.meant, here.response), (0.01, 0.26, 0.51, 0.76))
    for category in turn.categories:
        yield category.name, category.value
    if here.slots is None:
        yield "slots", MISSING
    else:
        yield "slots", "+".join(sorted(slot.name for slot in here.slots)) or "-"
        yield from (("intent and slot", f"{here.intents} {slot.name}") for slot in here.slots)
        sure = [slot.confidence for slot in here.slots if slot.confidence is not None]
        yield "slot confidence", _bin(min(sure, default=None), _TENTHS)
        said = frozenset(word for slot in here.slots for word in words_of(turn.request[slot.start : slot.end]))
        yield "slots in response", _bin(_share(said, here.response), (0.01, 0.34, 0.67, 1.0))
        yield "words outside slots", _bin(float(len(here.meant - said)), (1, 2, 3, 4, 6))
    if len(turn.nbest) > 1:
        first, second = (frozenset(words_of(one.text)) for one in turn.nbest[:2])
        yield "n-best differ", _bin(float(len(first ^ second)), _FEW)
        yield "n-best in response", str(bool((second - first) & here.response))
        yield "n-best longer", str(len(second) - len(first))
        scores = [one.score for one in turn.nbest[:2] if one.score is not None]
        yield "n-best margin", _bin(scores[0] - scores[1] if len(scores) == 2 else None, (0.2, 0.5, 1.0, 2.0, 4.0))
    else:
        yield "n-best differ", MISSING
    for kind in ("wake", "recognition", "understanding", "resolution", "result"):
        yield from _steps(kind, [step for step in turn.steps if step.kind == kind])


def _steps(kind: str, steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Confidence and errors of the assistant's own stages, and whether a lookup returned what it was asked for."""
    sure = [step.confidence for step in steps if step.confidence is not None]
    yield f"{kind} confidence", _bin(min(sure, default=None), _TENTHS)
    yield f"{kind} error", next((s.error for s in steps if s.error), "-") if steps else MISSING
    for step in steps:
        if step.arguments and step.result is not None and kind == "resolution":
            asked, found = frozenset(words_of(step.arguments)), frozenset(words_of(step.result))
            yield f"{kind} sounds alike", str(bool(_misheard(asked, found)))
            yield (
                f"{kind} differs",
                "none found" if not found else _bin(1.0 - len(asked & found) / len(asked | found), (0.01, 0.5, 1.0)),
            )


def _calls(here: _Read, before: Sequence[_Read]) -> Iterator[tuple[str, str]]:
    """What a turn's tool calls show: errors, repetition, arguments nobody mentioned, results that the response leaves out."""
    if not here.calls:
        return
    first, last = here.calls[0], here.calls[-1]
    said = here.request.union(*(one.request | one.response for one in before))
    yield "arguments said", _bin(_share(_values(first.arguments), said), (0.01, 0.51, 1.0))
    yield "arguments in response", _bin(_share(_values(first.arguments), here.response), (0.01, 0.51, 1.0))
    yield "request in arguments", _bin(_share(here.meant, frozenset(_values(first.arguments))), (0.01, 0.26, 0.51))
    yield "tool said", _bin(_share(words_of((first.name or "").replace("_", " ")), said), (0.01, 0.51, 1.0))
    yield "result in response", _bin(_share(words_of(last.result or ""), here.response), (0.01, 0.51, 1.0))
    yield "calls", _bin(float(len(here.calls)), _FEW)
    yield from (("call", name) for name, index in faulty_calls(here.turn).items() if index is not None)
    yield "final call", "failed" if last.error else "fine"


def faulty_calls(turn: Turn) -> dict[str, int | None]:
    """For each way in which tool calls go wrong, the index among the turn's steps of the first that does; None where none does.

    `tool_error`: it has an error. `loop`: the third equal call. `wrong_argument`: most words of its arguments are neither in the request nor in
    an earlier result. `ignored_result`: the last one with a result, if the response has none of its words. `wrong_tool`: no word of its name
    is in the request or response, and no argument or result says why."""
    found: dict[str, int | None] = dict.fromkeys(CALLS)
    known, response = set(words_of(turn.request)), set(words_of(turn.response))
    times: dict[tuple[str | None, str | None], int] = {}
    for k, step in enumerate(turn.steps):
        if step.kind != TOOL:
            continue
        times[step.name, step.arguments] = times.get((step.name, step.arguments), 0) + 1
        values, result = _values(step.arguments), _values(step.result)
        named = set(words_of((step.name or "").replace("_", " ").replace(".", " ")))
        signs = {
            "tool_error": step.error is not None,
            "loop": times[step.name, step.arguments] == 3,
            "wrong_argument": bool(values) and len(values & known) < len(values) / 2,
            "wrong_tool": bool(named) and not named & (known | response) and not values & known,
        }
        for name, is_so in signs.items():
            if is_so and found[name] is None:
                found[name] = k
        if step.error is None and step.result:
            found["ignored_result"] = None if result & response else k
        known |= result
    return found


def _values(text: str | None) -> set[str]:
    """Words of the values of JSON, or of a text; names of fields are left out."""
    if not text:
        return set()
    try:
        loaded = json.loads(text)
    except ValueError:
        loaded = text
    return {word for value in _leaves(loaded) for word in words_of(str(value)) if word.isalnum()} - _UNSAID


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    else:
        yield value


def _before(here: _Read, before: Sequence[_Read]) -> Iterator[tuple[str, str]]:
    """Position in the goal, and what had gone wrong already."""
    yield "before", _bin(float(len(before)), _FEW)
    yield "before failed openly", str(any(one.failed_openly for one in before))
    if before:
        last = before[-1]
        yield "before status", last.turn.status or MISSING
        yield "before intent", MISSING if None in (here.intents, last.intents) else str(here.intents == last.intents)
        yield "before asked", str(last.turn.response.rstrip().endswith("?"))
        yield "before reacted", _reactions(last.turn)
    yield "repeats", _bin(float(sum(_again(here, one) for one in before)), _FEW)


def _later(here: _Read, after: Sequence[_Read]) -> Iterator[tuple[str, str]]:
    """The user's next request in the goal, and how often the request comes again."""
    yield "later", _bin(float(len(after)), _FEW)
    yield "later failed openly", str(any(one.failed_openly for one in after))
    again = [one for one in after if _again(here, one)]
    yield "later repeats", _bin(float(len(again)), _FEW)
    if again:
        yield (
            "later last repeat",
            f"{again[-1].turn.status or MISSING}, {'last' if again[-1] is after[-1] else 'more follows'}",
        )
    if not after:
        return
    following = after[0]
    yield "next", "again" if _again(here, following) else "other"
    yield "next sounds alike", _bin(float(_misheard(here.meant, following.meant)), _FEW)
    yield "next words in common", _bin(_share(here.meant, following.request), (0.01, 0.34, 0.67, 1.0))
    yield "next in response", _bin(_share(following.meant, here.response), (0.01, 0.34, 0.67))
    yield "next status", following.turn.status or MISSING
    yield "next admits", f"{following.admits:g}"
    yield "next first words", " ".join(following.turn.request.lower().split()[:2])
    yield (
        "next intent",
        MISSING if None in (here.intents, following.intents) else str(here.intents == following.intents),
    )
    if here.slots is not None and following.slots is not None:
        values, others = (
            {s.name: words_of(x.turn.request[s.start : s.end]) for s in x.slots or ()} for x in (here, following)
        )
        common = [name for name in values if name in others]
        same = "none" if not common else str(all(values[name] == others[name] for name in common))
        yield "next slot values", same
        yield "next slots", "more" if set(others) - set(values) else "fewer" if set(values) - set(others) else "same"


def _end(dialogue: Dialogue, read: Sequence[_Read], goal: Sequence[int], t: int) -> Iterator[tuple[str, str]]:
    """Reactions to the turn and how the goal ended."""
    yield "reacted", _reactions(read[t].turn)
    answers = [f.answer for turn in dialogue.turns for f in turn.feedback if f.about == t and f.answer]
    yield "answered", answers[0] if answers else "-"
    last = read[goal[-1]]
    yield "end status", last.turn.status or MISSING
    yield "end admits", f"{last.admits:g}"
    yield "end intent", last.intents or MISSING
    yield "end reacted", _reactions(last.turn)
    yield "end words", _bin(float(len(last.request)), (3, 5))
    yield "end of dialogue", str(goal[-1] == len(read) - 1)


def _reactions(turn: Turn) -> str:
    return "+".join(sorted({one.kind for one in turn.feedback if one.about is None})) or "-"


def _again(one: _Read, other: _Read) -> bool:
    """Whether two requests are one again, in whole or in part."""
    if not one.meant or not other.meant:
        return False
    return len(one.meant & other.meant) / min(len(one.meant), len(other.meant)) >= _SAME


def _misheard(words: frozenset[str], others: frozenset[str]) -> int:
    """Number of other words that sound like one of these words, by their letters, and are none of them."""
    return sum(any(fuzz.ratio(word, other) >= _SOUNDS for word in words - others) for other in others - words)


def _share(of: Iterable[str], within: frozenset[str]) -> float | None:
    words = set(of)
    return len(words & within) / len(words) if words else None


def _bin(value: float | None, edges: Sequence[float]) -> str:
    """The bin of a number: `<` its upper edge, or `>=` the last; MISSING for None."""
    if value is None:
        return MISSING
    return next((f"<{edge:g}" for edge in edges if value < edge), f">={edges[-1]:g}")
