"""What the assistant of the world with its own language can do (`setting.Skills`)."""

from collections.abc import Collection
from random import Random

from labelgen.simulator import responses
from labelgen.simulator.entities import ENTITIES
from labelgen.simulator.entities import another as another
from labelgen.simulator.goals import Step
from labelgen.simulator.meaning import DOMAIN_OF
from labelgen.simulator.phrases import pick
from labelgen.simulator.user import User

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
_OPEN = ("item", "timer_name", "topic")
"""Slots that take any words, so that what was misheard is believed."""


def domain(intent: str) -> str | None:
    return DOMAIN_OF[intent]


def mistaken(step: Step, intents: tuple[str, ...], user: User, rng: Random) -> str:
    """What is said by an assistant that took the step for these intents, filled with something likely."""
    frame = dict(step.frame)
    assumed = _ASSUMED.get(intents[0])
    if assumed is not None and assumed not in frame:
        frame[assumed] = user.choose(assumed, rng)
    return responses.done("+".join(intents), frame, rng)


def lacking(step: Step, frame: dict[str, str], missed: Collection[int], user: User, rng: Random) -> str | None:
    """The slot without which the assistant asks back; it may take the room that it stands in for granted."""
    if len(step.intents) > 1:
        return None
    intent = step.intents[0]
    said = {name for name, _ in step.said}
    understood = {name for k, (name, _) in enumerate(step.said) if k not in missed}
    needed = _NEEDED.get(intent)
    if needed is not None and needed not in understood and (step.manner == "full" or needed in said):
        return needed
    if intent in _LIGHTS and "room" not in understood and (step.manner == "full" or "room" in said):
        if rng.random() < 0.35:
            return "room"
        frame["room"] = user.home_room
    return None


def ask(slot: str, rng: Random) -> str:
    return responses.speak(pick(responses.ASK[slot], rng), {}, rng)


def done(step: Step, frame: dict[str, str], rng: Random) -> str:
    return responses.done(step.key(), frame, rng)


def takes(slot: str, words: str) -> bool:
    """Open slots take anything, others what their catalog holds."""
    return slot in _OPEN or words in ENTITIES[slot]


def spoils(slot: str) -> bool:
    """A missing name or number of bottles only spoils what is done."""
    return slot in ("quantity", "timer_name")
