"""What the simulated assistant says."""

from random import Random

from labelgen.simulator.entities import SHOWN_AS, SINGER_OF, SONGS, listed
from labelgen.simulator.grammar import Template, write
from labelgen.simulator.phrases import lines, pick

_DONE: dict[str, str] = {
    "play_music": """
        Playing {song} by {singer}.
        (Here's|Now playing) {song} by {singer}.
        (Playing|Shuffling) (songs|music) by {artist}.
        Here's {artist}, (starting with|beginning with) {any_song}.
        (Here's some|Playing) {genre}.
        (Here's some|Playing) {genre} in the {room}.
        (Playing|Shuffling) your music.
        Here's a station you might like.""",
    "pause_music": "(Paused.|Okay.|Music paused.)\nPaused in the {room}.",
    "next_song": "(Okay. Now|Now playing|Next up:|Skipping. Here's) {any_song} by {any_singer}.\n(Okay.|Skipped.)",
    "set_volume": "(Volume|The volume is|Okay, volume) (at|set to) {level}.\n(Okay.|Done.|Volume changed.)",
    "set_timer": """
        (Okay|Sure), {duration}(, starting now|. Starting now|).
        (Timer set|Your timer is set) for {duration}.
        {duration} on the {timer_name} timer(, starting now|).
        (Your|The) {timer_name} timer is set for {duration}.""",
    "cancel_timer": "(Timer canceled|Your timer is gone|Okay, canceled).\n(Your|The) {timer_name} timer is canceled.",
    "check_timer": """
        (You have|There are|About) {left} left(| on your timer).
        {left} left on the {timer_name} timer.""",
    "get_weather": """
        (Right now it's|It's|Currently) {degrees} degrees (and|with) {sky}.
        In {place} it's {degrees} degrees (and|with) {sky}.
        (Expect|There will be|Looks like) {sky} {date}, with (a high of|up to) {degrees} degrees.
        In {place}, expect {sky} {date}, with (a high of|up to) {degrees} degrees.""",
    "lights_on": "(The|Okay, the) {room} (lights are|light is) (on|on now).\n(Turning on|Switching on) the {room}.\n(Okay.|Done.)",
    "lights_off": "(The|Okay, the) {room} (lights are|light is) (off|off now).\n(Turning off|Switching off) the {room}.\n(Okay.|Done.)",
    "dim_lights": "(The|Okay, the) {room} (lights are|light is) at {level}.\n(Brightness|Lights) set to {level}.\n(Dimming|Changing) the {room}.\n(Okay.|Done.)",
    "add_to_list": """
        (I added|Added|I put) {item} (to|on) your (shopping|) list.
        (I added|Added) {quantity} {item} to your list.
        (I added|Added) {item} and {item2} to your list.""",
    "remove_from_list": "(I removed|Removed|I took) {item} (from|off) your list.",
    "check_list": """
        (You have|There are|I see) {items} on your list.
        {presence}, {item} (is|is still) on your list.""",
    "get_news": """
        (Here's the latest|From the newsroom|In the headlines): {headline}
        (Here's the latest|The news) (on|about) {topic}: {headline}""",
    "stop": "(Okay.|Alright.|Stopping.|Sure, never mind.)",
    "play_music+set_volume": """
        Playing {artist} at volume {level}.
        Playing {song}(, quietly| softly|).
        (Here's some|Playing) {genre}, volume {level}.""",
    "lights_off+lights_on": "(The|Okay, the) {room} is off and the {room2} is on.",
    "add_to_list+remove_from_list": "(Added|I added) {item} and (removed|took off) {item2}.",
}
_ASK: dict[str, str] = {
    "duration": "(For how long?|How long should the timer run?|A timer for how long?)",
    "room": "(Which room?|Which light do you mean?|In which room?)",
    "item": "(What should I add?|Which item?|What was the item?)",
}
_UNHEARD = """(Sorry, I didn't get that.|Sorry, I didn't catch that.|I'm not sure I understand.|Sorry, could you repeat that?)
(Hmm, I don't know that one.|I'm having trouble understanding.|I can't help with that yet.)"""
_NOT_FOUND = """(I couldn't find|I can't find|I don't know) {words}.
(Sorry, there is no|I don't see any) {words} (here|in your account|)."""
_BROKEN = """(Something went wrong.|Something went wrong, try again later.)
(I'm having trouble reaching|I can't reach) (the service|that|your device) (right now|at the moment)."""
_WELCOME = "(You're welcome.|Anytime.|My pleasure.|Happy to help.|You bet.)"
_GLAD = "(Great.|Glad to hear that.|Thanks for telling me.)"
_SORRY = "(Sorry about that.|Thanks, I'll do better.|I'm sorry to hear that.)"
ASKING = "(Did I answer your question?|Is that what you wanted?|Was that right?)"

DONE = {intents: lines(text) for intents, text in _DONE.items()}
ASK = {slot: lines(text) for slot, text in _ASK.items()}
UNHEARD, NOT_FOUND, BROKEN, WELCOME, GLAD, SORRY, ASK_BACK = map(
    lines, (_UNHEARD, _NOT_FOUND, _BROKEN, _WELCOME, _GLAD, _SORRY, ASKING)
)
_SKIES = listed("""sunny skies|light rain|heavy rain|clouds|some clouds|snow showers|strong wind|clear skies|thunderstorms|fog|
drizzle|a mix of sun and clouds""")
_WHO = listed("officials|researchers|leaders|fans|experts|local groups|two companies|the committee")
_DID = listed(
    "announced new plans|met in the capital|reported a record year|called for changes|disagreed on a proposal"
)
_NODS = ("pause_music", "next_song", "set_volume", "lights_on", "lights_off", "dim_lights")
_MADE_UP = frozenset(("singer", "any_song", "any_singer", "left", "degrees", "sky", "items", "presence", "headline"))


def done(key: str, frame: dict[str, str], rng: Random) -> str:
    """A response that claims to have done what the frame asks for, and names as much of it as it can; where no more
    than a nod is needed, now and then just that."""
    fitting = [t for t in DONE[key] if all(name in frame or name in _MADE_UP for name in t.slots)]
    fitting = [t for t in fitting if "singer" not in t.slots or "song" in frame]
    if not fitting:
        return "Okay."
    told = [sum(name in frame for name in t.slots) for t in fitting]
    most = max(told)
    best = [t for t, count in zip(fitting, told, strict=True) if count == most]
    if key in _NODS and rng.random() < 0.15:
        return "Okay."
    return speak(pick(tuple(best), rng), frame, rng)


def speak(template: Template, frame: dict[str, str], rng: Random) -> str:
    """Put a response into words; what the frame does not say is made up."""
    values = {}
    for name in template.slots:
        if name in frame:
            values[name] = SHOWN_AS.get(name, str)(frame[name])
        elif name in _MADE_UP:
            values[name] = _invent(name, frame, rng)
    text = " ".join(write(template, values, rng).split()).replace(" .", ".")
    return text[:1].upper() + text[1:]


def _invent(name: str, frame: dict[str, str], rng: Random) -> str:
    match name:
        case "singer":
            return SINGER_OF[frame["song"]].title() if frame["song"] in SINGER_OF else "an unknown artist"
        case "any_song":
            return SONGS[int(rng.random() * len(SONGS))].title()
        case "any_singer":
            return SINGER_OF[SONGS[int(rng.random() * len(SONGS))]].title()
        case "left":
            return f"{2 + int(rng.random() * 50)} minutes"
        case "degrees":
            return str(20 + int(rng.random() * 75))
        case "sky":
            return _SKIES[int(rng.random() * len(_SKIES))]
        case "items":
            return f"{2 + int(rng.random() * 9)} things"
        case "presence":
            return "Yes" if rng.random() < 0.8 else "Right"
        case _:
            who, did = _WHO[int(rng.random() * len(_WHO))], _DID[int(rng.random() * len(_DID))]
            return f"{who} {did}."
