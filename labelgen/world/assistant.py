"""The simulated assistant: a pipeline of hearing, understanding, finding and doing, each of which can fail.

It answers by what it believes, so that a mistake shows in the response where the words allow it. What it did is known
to the simulation (`Reply.served`, `Reply.quality`) and stands nowhere else in the record."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from labelgen.data.dialogue import Hypothesis, HypothesisIntent, HypothesisSlot
from labelgen.world.entities import ENTITIES, another
from labelgen.world.goals import Step
from labelgen.world.meaning import DOMAIN_OF, LIKELY_OTHERS, SLOTS
from labelgen.world.options import WorldOptions
from labelgen.world.phrases import pick
from labelgen.world.recogniser import Heard
from labelgen.world.responses import ASK, BROKEN, NOT_FOUND, UNHEARD, done, speak
from labelgen.world.user import User

Mistake = Literal["unheard", "intent", "slot", "entity", "not_found", "broken", "silent", "asked_again", "partly"]

_NEEDED = {"set_timer": "duration", "add_to_list": "item", "remove_from_list": "item"}
_ASSUMED = {
    "play_music": "song",
    "set_volume": "level",
    "set_timer": "duration",
    "get_weather": "place",
    "lights_on": "room",
    "lights_off": "room",
    "dim_lights": "level",
    "add_to_list": "item",
    "remove_from_list": "item",
    "get_news": "topic",
}
"""What an intent is about that was taken for the one that was meant: the assistant fills it with something likely."""
_LIGHTS = ("lights_on", "lights_off", "dim_lights")
_REJECT_BELOW = 0.3
_OPEN = ("item", "timer_name", "topic")
"""Slots that take any words, so that what was misheard is believed."""
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
    """status and the confidences are what a log would hold. served: the step is done as the user meant it. mistake:
    what went wrong, None for nothing. wrong: index, among the slots said, of the one that was got wrong. asks: the slot
    that the assistant asked for. quality: 1..5, how well the response served the request."""

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


@dataclass(frozen=True, slots=True)
class _Reading:
    """slots: as understood. missed, misread: indices, among the slots said, of those not understood at all, or with a
    wrong border."""

    slots: tuple[HypothesisSlot, ...]
    missed: frozenset[int]
    misread: frozenset[int]


def answer(step: Step, heard: Heard, user: User, options: WorldOptions, rng: Random) -> Reply:
    """Handle one request that meant `step`, as it was heard."""
    # Distortion of plain words misleads about the intent, distortion of a slot's words about the slot.
    doubt = (2.0 if -1 in heard.distorted else 1.0) * (2.0 if step.manner == "follow" else 1.0)
    confused = rng.random() < options.intent_errors * doubt
    confidence = rng.betavariate(4.0, 3.0) if confused else rng.betavariate(11.0, 1.6)
    if heard.distorted:
        confidence *= rng.uniform(0.55, 1.0)
    intents = _confused(step.intents, rng) if confused else step.intents
    reading = _read(step, heard, options, rng)
    believed = tuple(HypothesisIntent(name=name, confidence=round(confidence, 3)) for name in intents)
    delay_s = round(0.4 + rng.expovariate(1.1), 2)

    def reply(
        text: str,
        status: str,
        mistake: Mistake | None = None,
        wrong: int | None = None,
        asks: str | None = None,
        served: bool = False,
    ) -> Reply:
        return Reply(
            text=text,
            status=status,
            hypothesis=Hypothesis(intents=believed, slots=reading.slots),
            nlu_confidence=round(confidence, 3),
            domain=None if status == "no_match" else DOMAIN_OF[intents[0]],
            served=served,
            mistake=mistake,
            wrong=wrong,
            asks=asks,
            quality=_QUALITY[mistake] if mistake else 4 if asks or delay_s > 3.5 else 5,
            delay_s=delay_s,
        )

    if confidence < _REJECT_BELOW:
        return reply(speak(pick(UNHEARD, rng), {}, rng), "no_match", "unheard")
    if rng.random() < options.result_errors:
        return reply(speak(pick(BROKEN, rng), {}, rng), "error", "broken")
    frame = dict(step.frame)
    if confused:
        assumed = _ASSUMED.get(intents[0])
        if assumed is not None and assumed not in frame:
            frame[assumed] = user.choose(assumed, rng)
        return reply(done("+".join(intents), frame, rng), "answered", "intent")
    for k in reading.missed:
        frame.pop(_key(step, k), None)
    needed = _needed(step, frame, reading, user, rng)
    if needed is not None:
        # Asking is fair where the user left it out, and a nuisance where it was said.
        said = next((k for k, (name, _) in enumerate(step.said) if name == needed), None)
        return reply(
            speak(pick(ASK[needed], rng), {}, rng), "clarify", None if said is None else "asked_again", said, needed
        )
    wrong, found = _find(step, heard, frame, reading, options, rng)
    if wrong is not None and not found:
        words = {"words": _words(heard, wrong)}
        return reply(speak(pick(NOT_FOUND, rng), words, rng), "not_found", "not_found", wrong)
    text = done(step.key(), frame, rng)
    if wrong is not None:
        return reply(text, "answered", "entity", wrong)
    if rng.random() < options.silent_errors:
        return reply(text, "answered", "silent")
    if reading.missed:
        # What was missed changes what is done; a missing name or number of bottles only spoils it.
        worst = min(reading.missed, key=lambda k: (step.said[k][0] in ("quantity", "timer_name"), k))
        if step.said[worst][0] in ("quantity", "timer_name"):
            return reply(text, "answered", "partly", worst, served=True)
        return reply(text, "answered", "slot", worst)
    return reply(text, "answered", served=True)


def _confused(intents: tuple[str, ...], rng: Random) -> tuple[str, ...]:
    if len(intents) > 1:
        return (intents[int(rng.random() * len(intents))],)
    others = LIKELY_OTHERS[intents[0]]
    return (others[int(rng.random() * len(others))],)


def _read(step: Step, heard: Heard, options: WorldOptions, rng: Random) -> _Reading:
    """Find the slots in what was heard."""
    found: list[HypothesisSlot] = []
    missed: set[int] = set()
    misread: set[int] = set()
    spans = heard.phrase.spans()
    text = heard.phrase.text()
    for k, (name, _) in enumerate(step.said):
        if k not in spans:
            missed.add(k)
            continue
        start, end = spans[k]
        slip = rng.random() / options.slot_errors if options.slot_errors else 1.0
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
        found.append(HypothesisSlot(name=name, start=start, end=end, value=text[start:end], confidence=confidence))
    return _Reading(tuple(sorted(found, key=lambda slot: slot.start)), frozenset(missed), frozenset(misread))


def _key(step: Step, k: int) -> str:
    """The name in the frame of the slot said k-th: the second item of "milk and eggs" is `item2`."""
    name = step.said[k][0]
    return f"{name}2" if name in (other for other, _ in step.said[:k]) else name


def _needed(step: Step, frame: dict[str, str], reading: _Reading, user: User, rng: Random) -> str | None:
    """The slot without which the assistant asks back; it may take the room that it stands in for granted."""
    if len(step.intents) > 1:
        return None
    intent = step.intents[0]
    said = {name for name, _ in step.said}
    understood = {name for k, (name, _) in enumerate(step.said) if k not in reading.missed}
    needed = _NEEDED.get(intent)
    if needed is not None and needed not in understood and (step.manner == "full" or needed in said):
        return needed
    if intent in _LIGHTS and "room" not in understood and (step.manner == "full" or "room" in said):
        if rng.random() < 0.35:
            return "room"
        frame["room"] = user.home_room
    return None


def _find(
    step: Step, heard: Heard, frame: dict[str, str], reading: _Reading, options: WorldOptions, rng: Random
) -> tuple[int | None, bool]:
    """Look the entities up; gives the index of the slot that went wrong, and whether anything was found for it.

    What was wrongly found stands in the frame afterwards. A misheard name is often recovered, as catalogues forgive
    spelling, and sometimes is the name of something else."""
    for k, (name, meant) in enumerate(step.said):
        unclear = k in heard.distorted or k in reading.misread
        if k in reading.missed or rng.random() >= (0.6 if unclear else options.entity_errors):
            continue
        words = _words(heard, k)
        if unclear and words != meant and (name in _OPEN or words in ENTITIES[name]):
            frame[_key(step, k)] = words
        elif unclear and rng.random() < 0.5:
            return k, False
        else:
            frame[_key(step, k)] = another(name, meant, rng)
        return k, True
    return None, True


def _words(heard: Heard, k: int) -> str:
    span = heard.phrase.spans().get(k)
    return "that" if span is None else heard.phrase.text()[span[0] : span[1]]
