"""Vocabulary of the simulated language (`language.yaml`): intents, slots, entities, and templates of what is said.

A log of a few thousand dialogues has only a part of the songs and artists, so held-out dialogues have titles that are not in the
training data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml

from labelgen.simulator.grammar import Template, template

LANGUAGE: Mapping[str, Any] = yaml.load(  # The loader in C is nine times faster, and not everywhere.
    Path(__file__).with_name("language.yaml").read_text(encoding="utf-8"),
    Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),
)
_NAMES: Mapping[str, Sequence[str]] = LANGUAGE["names"]

SONGS = tuple(f"{mood} {thing}" for mood in _NAMES["moods"] for thing in _NAMES["things"])
ARTISTS = tuple(f"{first} {last}" for first in _NAMES["first"] for last in _NAMES["last"]) + tuple(
    f"the {mood} {band}" for mood in _NAMES["moods"][:20] for band in _NAMES["bands"]
)
SINGER_OF = {song: ARTISTS[(7 * k) % len(ARTISTS)] for k, song in enumerate(SONGS)}
ENTITIES: dict[str, tuple[str, ...]] = {
    "song": SONGS,
    "artist": ARTISTS,
    **{slot: tuple(names) for slot, names in LANGUAGE["entities"].items()},
}
"""slot name -> all its entities."""

INTENTS: Mapping[str, str] = {name: one["meaning"] for name, one in LANGUAGE["intents"].items()}
SLOTS: Mapping[str, str] = {name: one["meaning"] for name, one in LANGUAGE["slots"].items()}
GIVING_UP = "stop"
DOMAIN_OF: Mapping[str, str] = {name: one["domain"] for name, one in LANGUAGE["intents"].items()}
LIKELY_OTHERS: Mapping[str, Sequence[str]] = {name: one["others"] for name, one in LANGUAGE["intents"].items()}
"""intent -> intents that it is confused with, by the assistant and by annotators."""
ASSUMED: Mapping[str, str] = {n: one["assumed"] for n, one in LANGUAGE["intents"].items() if "assumed" in one}
"""intent -> slot that the assistant fills with a likely value when it took another intent for this one."""

Manner = Literal["full", "follow"]
"""full: a request that can be understood alone. follow: one that needs context, such as "and tomorrow"."""
Templates = tuple[Template, ...]


def parsed(texts: Sequence[str]) -> Templates:
    """The templates of texts."""
    return tuple(map(template, texts))


class Draws(Random):
    """Random numbers of a dialogue. phrases: of each list of templates, all, or the even or odd ones (WorldOptions.phrases). world: names
    the log, all of whose dialogues have the same blind spots."""

    phrases = "all"
    world = ""


def pick(templates: Templates, rng: Random) -> Template:
    """Draw one template."""
    if isinstance(rng, Draws) and rng.phrases != "all" and len(templates) > 1:
        templates = templates[rng.phrases == "odd" :: 2]
    return templates[int(rng.random() * len(templates))]


def another(slot: str, than: str, rng: Random) -> str:
    """Another entity of the slot, preferably one that shares a word with `than`, as in catalog confusions."""
    parts = set(than.split())
    everything = ENTITIES[slot]
    for _ in range(4):
        chosen = everything[int(rng.random() * len(everything))]
        if chosen != than and parts & set(chosen.split()):
            return chosen
    while True:
        chosen = everything[int(rng.random() * len(everything))]
        if chosen != than:
            return chosen


def _by_slots(templates: Templates) -> dict[tuple[str, ...], Templates]:
    groups: dict[tuple[str, ...], Templates] = {}
    for one in templates:
        key = tuple(sorted(one.slots))
        groups[key] = (*groups.get(key, ()), one)
    return groups


_REQUESTS: Mapping[str, Any] = {**LANGUAGE["intents"], **LANGUAGE["compounds"]}
TABLE: Mapping[tuple[str, str], Mapping[tuple[str, ...], Templates]] = {
    (intents, manner): _by_slots(parsed(one[manner]))
    for intents, one in _REQUESTS.items()
    for manner in ("full", "follow")
    if manner in one
}
"""(intents joined by "+", manner) -> sorted slots of a template -> templates."""
DONE: Mapping[str, Templates] = {intents: parsed(one["done"]) for intents, one in _REQUESTS.items()}
"""intents joined by "+" -> responses that claim to have done the request."""
