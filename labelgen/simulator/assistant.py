"""Simulated assistant: a pipeline of speech recognition, understanding, lookup and execution, or an agent; each stage or call can fail.

The assistant answers by what it understood, so a mistake shows in the response if the words allow it. The ground truth
(`Reply.served`, `Reply.quality`) is not part of the logged turn.

Simulated wake word detection and speech recognition, with errors.
"""

import json
from dataclasses import dataclass, replace
from functools import cache, partial
from random import Random
from typing import Literal

from rapidfuzz import fuzz, process

from labelgen.data.dialogue import Hypothesis, HypothesisIntent, HypothesisSlot, Recognition, Step, words_of_step
from labelgen.simulator.language import ASSISTANT, ask, missing_slot, mistaken, respond, speak
from labelgen.simulator.users import GoalStep, User
from labelgen.simulator.vocabulary import DOMAIN_OF, ENTITIES, LANGUAGE, LIKELY_OTHERS, SLOTS, Phrase, another
from labelgen.simulator.world import WorldOptions

_GLUE = ("the", "a", "uh", "and", "it", "to")


_VOCABULARY = sorted({word for entities in ENTITIES.values() for entity in entities for word in entity.split()})


@cache
def alike(word: str) -> tuple[str, ...]:
    """Words that a word is misheard as, at least one, never the word itself."""
    if word in LANGUAGE["misheard"]:
        return tuple(LANGUAGE["misheard"][word])
    near = process.extract(word, _VOCABULARY, scorer=fuzz.ratio, limit=5)
    ranked = sorted(near, key=lambda one: (-one[1], one[0]))
    return tuple(text for text, score, _ in ranked if text != word and score >= 40)[:3] or ("uh",)


@dataclass(frozen=True, slots=True)
class HeardRequest:
    """A recognized request. phrase: its words, with the slots of the words said. distorted: indices of slots with a wrong or missing
    word, -1 for words outside of slots. faults: stages of `log.STAGES` that failed."""

    phrase: Phrase
    confidence: float
    distorted: frozenset[int]
    nbest: tuple[Recognition, ...]
    faults: tuple[str, ...]


def hear(phrase: Phrase, user: User, noise: float, options: WorldOptions, rng: Random) -> HeardRequest:
    """Recognize a request. noise: factor on the error rate."""
    words, owners = list(phrase.words), list(phrase.owners)
    distorted: set[int] = set()
    faults: list[str] = []
    if len(words) > 2 and rng.random() < options.wake_missed:
        lost = 1 + int(rng.random() * min(3, len(words) - 1))
        faults.append("wake")
        distorted.update(owners[:lost])
        words, owners = words[lost:], owners[lost:]
    if rng.random() < options.misheard * user.accent * noise:
        for _ in range(1 if rng.random() < 0.7 else 2):
            distorted.add(_garble(words, owners, rng))
        faults.append("recognition")
    confidence = rng.betavariate(5.0, 3.5) if distorted else rng.betavariate(14.0, 1.4)
    heard = Phrase(words, owners)
    nbest = _nbest(heard, phrase, confidence, rng)
    return HeardRequest(heard, round(confidence, 3), frozenset(distorted), nbest, tuple(faults))


def _garble(words: list[str], owners: list[int], rng: Random) -> int:
    """Distort one word in place and return its slot. Slot words are rarer than "the" and get more errors."""
    k = int(rng.random() * len(words))
    if owners[k] < 0:
        k = int(rng.random() * len(words))
    owner = owners[k]
    kind = rng.random()
    if kind < 0.15 and len(words) > 1:
        del words[k], owners[k]
    elif kind < 0.22:
        words.insert(k, _GLUE[int(rng.random() * len(_GLUE))])
        owners.insert(k, owner if k and owners[k - 1] == owner else -1)
    else:
        near = alike(words[k])
        words[k] = near[int(rng.random() * len(near))]
    return owner


def _nbest(heard: Phrase, phrase: Phrase, confidence: float, rng: Random) -> tuple[Recognition, ...]:
    """The recognized words and one alternative, which most often is the words said."""
    # Half of the requests keep their alternatives: real logs drop large fields too.
    if rng.random() < 0.5:
        return ()
    score = round(-len(heard.words) * (1.15 - confidence), 3)
    best, rival = heard.text(), phrase.text()
    if rival == best or rng.random() < 0.4:
        words = list(heard.words)
        k = int(rng.random() * len(words))
        words[k] = alike(words[k])[0]
        rival = " ".join(words)
    lower = round(score - rng.expovariate(0.6) - 0.05, 3)
    return Recognition(text=best, score=score), Recognition(text=rival, score=lower)


Mistake = Literal["unheard", "intent", "slot", "entity", "not_found", "broken", "silent", "asked_again", "partly"]

Call = Literal["tool_error", "wrong_tool", "wrong_argument", "ignored_result", "loop"]
Stage = Literal["wake", "recognition", "understanding", "entity", "result", Call]

_REJECT_BELOW = 0.3
_OPEN = ("item", "timer_name", "topic")
"""Slots that take any words, misheard ones included; others take the entities of their catalog."""
_SIDE_WISHES = ("quantity", "timer_name")
"""Slots without which a step still counts as done, though less well."""
_QUALITY: dict[Mistake, int] = {
    "unheard": 2,
    "intent": 1,
    "slot": 2,
    "entity": 2,
    "not_found": 2,
    "broken": 2,
    "silent": 1,
    "asked_again": 3,
    "partly": 3,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """Response of the assistant, with its ground truth. status and confidences are logged.

    served: whether the step was done as intended. mistake: kind of mistake, or None. wrong: index of the wrong slot among
    the slots said. asks: slot that the assistant asks for. quality: of the response, 1..5. faults: stages of `log.STAGES`
    that failed after recognition, in order, harmful or not. stage: the first stage without whose failure there would be no mistake.
    steps: as logged. wrong_step: the first wrong one of an agent, in words."""

    text: str
    status: str
    hypothesis: Hypothesis
    nlu_confidence: float
    domain: str | None
    served: bool
    mistake: Mistake | None
    wrong: int | None
    asks: str | None
    quality: int
    delay_s: float
    faults: tuple[str, ...]
    stage: Stage | None = None
    steps: tuple[Step, ...] = ()
    wrong_step: str | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    """Slots as understood. missed, misread: indices, among the slots said, of those that were not understood, or have a wrong
    border. slipped: whether this happened without a recognition error."""

    slots: tuple[HypothesisSlot, ...]
    missed: frozenset[int]
    misread: frozenset[int]
    slipped: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the assistant says in the end, as in Reply. fault: stage that failed last. lookups: slot, words and result of each, an empty
    result where nothing was found."""

    text: str
    status: str
    mistake: Mistake | None = None
    wrong: int | None = None
    asks: str | None = None
    served: bool = False
    fault: str | None = None
    stage: Stage | None = None
    lookups: tuple[tuple[str, str, str], ...] = ()


def answer(step: GoalStep, heard: HeardRequest, user: User, options: WorldOptions, rng: Random) -> Reply:
    """Answer one request. step: what the user intended; heard: what was recognized."""
    # Errors in other words affect the intent, errors in a slot's words affect the slot.
    doubt = (2.0 if -1 in heard.distorted else 1.0) * (2.0 if step.manner == "follow" else 1.0)
    chance = rng.random()
    blind = is_blind_spot(heard.phrase, options.blind_spots, getattr(rng, "world", ""))
    confused = blind or chance < options.intent_errors * doubt
    by_words = not blind and chance >= options.intent_errors * (2.0 if step.manner == "follow" else 1.0)
    confidence = rng.betavariate(4.0, 3.0) if confused else rng.betavariate(11.0, 1.6)
    if heard.distorted:
        confidence *= rng.uniform(0.55, 1.0)
    intents = _confused(step.intents, rng) if confused else step.intents
    reading = _read(step, heard, options, rng)
    delay_s = round(0.4 + rng.expovariate(1.1), 2)
    faults = [stage for stage, failed in (("intent", confused), ("slot", reading.slipped)) if failed]
    if confidence < _REJECT_BELOW:
        fault = None if faults or heard.faults else "intent"
        stage: Stage = "recognition" if heard.faults else "understanding"
        outcome = _Outcome(speak(ASSISTANT["unheard"], rng), "no_match", "unheard", fault=fault, stage=stage)
    elif rng.random() < options.result_errors:
        outcome = _Outcome(speak(ASSISTANT["broken"], rng), "error", "broken", fault="result", stage="result")
    elif confused:
        stage = "recognition" if by_words else "understanding"
        outcome = _Outcome(mistaken(step, intents, user, rng), "answered", "intent", stage=stage)
    else:
        outcome = _serve(step, heard, reading, user, options, rng)
    quality = _QUALITY[outcome.mistake] if outcome.mistake else 4 if outcome.asks or delay_s > 3.5 else 5
    believed = tuple(HypothesisIntent(name=name, confidence=round(confidence, 3)) for name in intents)
    reply = Reply(
        text=outcome.text,
        status=outcome.status,
        hypothesis=Hypothesis(intents=believed, slots=reading.slots),
        nlu_confidence=round(confidence, 3),
        domain=None if outcome.status == "no_match" else DOMAIN_OF[intents[0]],
        served=outcome.served,
        mistake=outcome.mistake,
        wrong=outcome.wrong,
        asks=outcome.asks,
        quality=quality,
        delay_s=delay_s,
        faults=(*faults, outcome.fault) if outcome.fault else tuple(faults),
        stage=outcome.stage,
        steps=logged_steps(outcome, intents, rng) if options.steps else (),
    )
    return with_calls(reply, step, outcome.lookups, rng) if options.agent else reply


def is_blind_spot(phrase: Phrase, rate: float, world: str) -> bool:
    """Whether the grammar of a world's assistant lacks a wording: the words outside of slots, in their order. It always fails, for all."""
    wording = " ".join(word for word, owner in zip(phrase.words, phrase.owners, strict=True) if owner < 0)
    return rate > 0.0 and bool(wording) and Random(f"blind spot/{world}/{wording}").random() < rate


def logged_steps(outcome: _Outcome, intents: tuple[str, ...], rng: Random) -> tuple[Step, ...]:
    """What the assistant logs of its lookups and of the execution. The confidence of a lookup is lower where words and result differ. A
    service reports half of the failures that the response hides, and now and then one that was none."""
    steps = []
    for slot, words, found in outcome.lookups:
        confidence = round(rng.betavariate(12.0, 1.5) if words == found else rng.betavariate(5.0, 3.0), 3)
        error = None if found else "no match"
        steps.append(
            Step(kind="resolution", name=slot, arguments=words, result=found, error=error, confidence=confidence)
        )
    if outcome.status in ("answered", "error"):
        failed = rng.random() < (0.5 if outcome.mistake == "silent" else 0.9 if outcome.status == "error" else 0.02)
        error = ("timeout", "device offline", "status 503")[int(rng.random() * 3)] if failed else None
        steps.append(Step(kind="result", name="+".join(intents), error=error))
    return tuple(steps)


def answer_to_nothing(wanted: bool, user: User, options: WorldOptions, rng: Random) -> Reply:
    """Answer words that no function serves: the assistant says so, does not understand, or does something.

    wanted: the user asked for something that there is no function for; else the words were not meant for the assistant."""
    kind = rng.random() if wanted else 0.0
    sure = ((6.0, 3.0) if kind < 0.55 else (4.0, 4.0)) if wanted else (4.0, 5.0)
    confidence = round(rng.betavariate(*sure), 3)
    intent = (*LIKELY_OTHERS,)[int(rng.random() * len(LIKELY_OTHERS))]
    if not wanted:
        kind = 0.6 if rng.random() < 0.4 else 1.0
    stage: Stage | None = None if wanted else "wake"
    intents: tuple[str, ...] = ()
    step = GoalStep((), (), {}, "full")
    if kind < 0.55:
        outcome = _Outcome(speak(ASSISTANT["unable"], rng), "unsupported", "unheard", stage=stage)
    elif kind < 0.75:
        outcome = _Outcome(speak(ASSISTANT["unheard"], rng), "no_match", "unheard", stage=stage)
    else:
        intents = (intent,)
        step = GoalStep(intents, (), {slot: user.choose(slot, rng) for slot in ("room", "duration", "item")}, "full")
        outcome = _Outcome(mistaken(step, intents, user, rng), "answered", "intent", stage=stage)
    believed = tuple(HypothesisIntent(name=name, confidence=confidence) for name in intents)
    reply = Reply(
        text=outcome.text,
        status=outcome.status,
        hypothesis=Hypothesis(intents=believed),
        nlu_confidence=confidence,
        domain=DOMAIN_OF[intents[0]] if intents else None,
        served=False,
        mistake=outcome.mistake,
        wrong=None,
        asks=None,
        quality=1 if intents else 2,
        delay_s=round(0.4 + rng.expovariate(1.1), 2),
        faults=(),
        stage=outcome.stage,
        steps=logged_steps(outcome, intents, rng) if options.steps else (),
    )
    return with_calls(reply, step, (), rng) if options.agent else reply


_CALL_OF: dict[Mistake, Call] = {
    "intent": "wrong_tool",
    "slot": "wrong_argument",
    "partly": "wrong_argument",
    "entity": "wrong_argument",
    "not_found": "tool_error",
    "broken": "tool_error",
    "silent": "ignored_result",
}
"""The call that goes wrong where an agent makes a mistake. It loops over half of the broken ones."""
_ERRORS = ("timeout", "rate limit exceeded", "status 503")
_NOT_DONE = ("queued until the device is back", "unchanged", "permission needed", "partial data, see logs")


def with_calls(reply: Reply, step: GoalStep, lookups: tuple[tuple[str, str, str], ...], rng: Random) -> Reply:
    """The reply of an agent that calls a tool for each intent, with what it understood. Now and then a call fails or waits, and is made
    again to good effect. Where the wrong tool is one that is not called, no step is wrong."""
    if reply.status not in ("answered", "error", "not_found"):
        return reply
    fault = _CALL_OF[reply.mistake] if reply.mistake is not None and reply.stage is not None else None
    if reply.mistake == "not_found" and reply.stage == "understanding":
        fault = "wrong_argument"
    if reply.mistake == "broken" and rng.random() < 0.5:
        fault = "loop"
    understood = dict(step.frame)
    if lookups:
        for k in range(len(step.mentions)):
            understood.pop(step.slot_key(k), None)
    for name, words, found in lookups:
        understood[name if name not in understood else f"{name}2"] = found or words
    error = {"broken": _ERRORS[int(rng.random() * 3)], "not_found": "no match"}.get(reply.mistake or "")
    result = reply.text if rng.random() < 0.7 else "ok"
    if fault == "ignored_result":
        result = _NOT_DONE[int(rng.random() * 4)]
    tools = [intent.name for intent in reply.hypothesis.intents]
    steps: list[Step] = []
    for tool in tools:
        call = partial(Step, kind="tool", name=tool, arguments=json.dumps(understood))
        again = rng.random()
        if fault == "loop":
            steps += [call(result="pending")] * (2 + int(again * 3))
        elif again < 0.08:
            steps.append(call(error=_ERRORS[int(rng.random() * 3)]))
        elif again < 0.12:
            steps += [call(result="pending")] * 2
        steps.append(call(error=error, result=None if error else result))
    wrong = {"loop": 2, "tool_error": -1, "ignored_result": -1}.get(fault or "", 0) % len(steps)
    lacks = fault is None or (fault == "wrong_tool" and set(tools) < set(step.intents))
    wrong_step = None if lacks else words_of_step(wrong, steps[wrong])
    return replace(reply, stage=fault or reply.stage, steps=tuple(steps), wrong_step=wrong_step)


def _serve(
    step: GoalStep, heard: HeardRequest, reading: _Reading, user: User, options: WorldOptions, rng: Random
) -> _Outcome:
    """Ask for a missing slot, or look up the entities and do what was understood."""
    frame = dict(step.frame)
    for k in reading.missed:
        frame.pop(step.slot_key(k), None)
    needed = missing_slot(step, frame, reading.missed, user, rng)
    if needed is not None:
        # A question is fair if the user left the slot out, and a mistake if the user said it.
        place = next((k for k, (name, _) in enumerate(step.mentions) if name == needed), None)
        if place is None:
            return _Outcome(ask(needed, rng), "clarify", asks=needed)
        return _Outcome(ask(needed, rng), "clarify", "asked_again", place, needed, stage=_missed_by(place, heard))
    wrong, stage = _find(step, heard, frame, reading, options, rng)
    matched = wrong is None or step.slot_key(wrong) in frame
    lookups = tuple(
        (name, _words(heard, k), frame.get(step.slot_key(k), ""))
        for k, (name, _) in enumerate(step.mentions)
        if k not in reading.missed
    )
    if not matched:
        text = speak(ASSISTANT["not_found"], rng, {"words": _words(heard, wrong or 0)})
        return _Outcome(text, "not_found", "not_found", wrong, fault="entity", stage=stage, lookups=lookups)
    text = respond(step.key(), frame, rng)
    if wrong is not None:
        return _Outcome(text, "answered", "entity", wrong, fault="entity", stage=stage, lookups=lookups)
    if rng.random() < options.silent_errors:
        return _Outcome(text, "answered", "silent", fault="result", stage="result", lookups=lookups)
    if reading.missed:
        # A missed slot makes the result wrong, or only less good.
        worst = min(reading.missed, key=lambda k: (step.mentions[k][0] in _SIDE_WISHES, k))
        partly = step.mentions[worst][0] in _SIDE_WISHES
        mistake, by = ("partly" if partly else "slot"), _missed_by(worst, heard)
        return _Outcome(text, "answered", mistake, worst, served=partly, stage=by, lookups=lookups)  # type: ignore[arg-type]
    return _Outcome(text, "answered", served=True, lookups=lookups)


def _missed_by(k: int, heard: HeardRequest) -> Stage:
    """The stage that lost a slot."""
    return "understanding" if k in heard.phrase.spans() else "recognition"


def _confused(intents: tuple[str, ...], rng: Random) -> tuple[str, ...]:
    if len(intents) > 1:
        return (intents[int(rng.random() * len(intents))],)
    others = LIKELY_OTHERS[intents[0]]
    return (others[int(rng.random() * len(others))],)


def _read(step: GoalStep, heard: HeardRequest, options: WorldOptions, rng: Random) -> _Reading:
    """Understand the slots of a request."""
    slots: list[HypothesisSlot] = []
    missed: set[int] = set()
    misread: set[int] = set()
    slipped = False
    spans = heard.phrase.spans()
    text = heard.phrase.text()
    for k, (name, _) in enumerate(step.mentions):
        if k not in spans:
            missed.add(k)
            continue
        start, end = spans[k]
        slip = rng.random() / options.slot_errors if options.slot_errors else 1.0
        slipped = slipped or slip < 1.0
        if slip < 0.5:
            missed.add(k)
            continue
        if slip < 0.75 and " " in text[start:end]:
            end = start + text[start:end].rindex(" ")
            misread.add(k)
        elif slip < 1.0:
            others = [other for other in SLOTS if other != name]
            name = others[int(rng.random() * len(others))]
            missed.add(k)
        confidence = round(rng.betavariate(10.0, 2.0) * (0.8 if k in heard.distorted else 1.0), 3)
        slots.append(HypothesisSlot(name=name, start=start, end=end, value=text[start:end], confidence=confidence))
    return _Reading(tuple(sorted(slots, key=lambda slot: slot.start)), frozenset(missed), frozenset(misread), slipped)


def _find(
    step: GoalStep,
    heard: HeardRequest,
    frame: dict[str, str],
    reading: _Reading,
    options: WorldOptions,
    rng: Random,
) -> tuple[int | None, Stage | None]:
    """Look up entities. Returns the index of the wrong slot, or None, and the stage by which it is wrong.

    A wrong entity replaces the right one in the frame, which lacks the slot if nothing was found. A misheard name is often recovered, because catalogs tolerate
    spelling, and sometimes is the name of something else."""
    for k, (name, meant) in enumerate(step.mentions):
        unclear = k in heard.distorted or k in reading.misread
        if k in reading.missed or (chance := rng.random()) >= (0.6 if unclear else options.entity_errors):
            continue
        stage: Stage = "recognition" if k in heard.distorted else "understanding"
        if chance < options.entity_errors:
            stage = "entity"
        words = _words(heard, k)
        if unclear and words != meant and (name in _OPEN or words in ENTITIES[name]):
            frame[step.slot_key(k)] = words
        elif unclear and rng.random() < 0.5:
            frame.pop(step.slot_key(k), None)
        else:
            frame[step.slot_key(k)] = another(name, meant, rng)
        return k, stage
    return None, None


def _words(heard: HeardRequest, k: int) -> str:
    span = heard.phrase.spans().get(k)
    return "that" if span is None else heard.phrase.text()[span[0] : span[1]]
