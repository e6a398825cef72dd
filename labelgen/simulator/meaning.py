"""What users of a simulated assistant can mean: its intents and slots, and what is taken for what."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meanings:
    """What can be meant in a world. others: intent -> what it is taken for, by the assistant and by people alike."""

    intents: tuple[str, ...]
    slots: tuple[str, ...]
    others: Mapping[str, tuple[str, ...]]


INTENTS: dict[str, str] = {
    "play_music": "play a song, an artist, a genre or just music",
    "pause_music": "pause the music that is playing",
    "next_song": "skip to the next song",
    "set_volume": "make the sound louder or quieter",
    "set_timer": "start a timer or change its duration",
    "cancel_timer": "delete a timer",
    "check_timer": "ask how much time is left on a timer",
    "get_weather": "ask for the weather at a place or a time",
    "lights_on": "turn lights on",
    "lights_off": "turn lights off",
    "dim_lights": "set how bright the lights are",
    "add_to_list": "put something on the shopping list",
    "remove_from_list": "take something off the shopping list",
    "check_list": "ask what is on the shopping list",
    "get_news": "ask for news",
    "stop": "stop what the assistant does, or give up",
}
SLOTS: dict[str, str] = {
    "song": "title of a song",
    "artist": "name of a musician or a band",
    "genre": "kind of music",
    "level": "how loud or how bright",
    "duration": "how long a timer runs",
    "timer_name": "what a timer is called",
    "place": "city of the weather",
    "date": "day or time of the weather",
    "room": "room of the house",
    "item": "thing on the shopping list",
    "quantity": "how much of a thing",
    "topic": "what the news are about",
}
GIVING_UP = "stop"
DOMAIN_OF: dict[str, str] = {
    **dict.fromkeys(("play_music", "pause_music", "next_song", "set_volume"), "music"),
    **dict.fromkeys(("set_timer", "cancel_timer", "check_timer"), "timers"),
    "get_weather": "weather",
    **dict.fromkeys(("lights_on", "lights_off", "dim_lights"), "lights"),
    **dict.fromkeys(("add_to_list", "remove_from_list", "check_list"), "shopping"),
    "get_news": "news",
    "stop": "system",
}
LIKELY_OTHERS: dict[str, tuple[str, ...]] = {
    "play_music": ("next_song", "set_volume", "get_news"),
    "pause_music": ("stop", "next_song"),
    "next_song": ("play_music", "pause_music"),
    "set_volume": ("dim_lights", "play_music"),
    "set_timer": ("check_timer", "cancel_timer"),
    "cancel_timer": ("check_timer", "stop"),
    "check_timer": ("set_timer", "check_list"),
    "get_weather": ("get_news", "check_timer"),
    "lights_on": ("lights_off", "dim_lights"),
    "lights_off": ("lights_on", "dim_lights"),
    "dim_lights": ("set_volume", "lights_on"),
    "add_to_list": ("check_list", "remove_from_list"),
    "remove_from_list": ("add_to_list", "check_list"),
    "check_list": ("add_to_list", "check_timer"),
    "get_news": ("get_weather", "play_music"),
    "stop": ("pause_music", "cancel_timer"),
}
"""What an intent is taken for, by the assistant and by people alike."""

OWN = Meanings(tuple(INTENTS), tuple(SLOTS), LIKELY_OTHERS)
"""Of the world with a language of its own."""
