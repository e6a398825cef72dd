"""World of the grammar: how users phrase requests, and what the assistant says and can do."""

from collections.abc import Collection
from random import Random

from labelgen.simulator.grammar import Phrase, Template, plain, say, write
from labelgen.simulator.users import GoalStep, User
from labelgen.simulator.vocabulary import (
    ANSWERS,
    ASKING_OPENERS,
    CLOSERS,
    COMPLAINTS,
    CORRECTIONS,
    DOMAIN_OF,
    ENTITIES,
    GIVING_UP,
    OPENERS,
    ORDERS,
    SHOWN_AS,
    SINGER_OF,
    SONGS,
    TABLE,
    another,
    lines,
    listed,
    pick,
)

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


def respond(key: str, frame: dict[str, str], rng: Random) -> str:
    """Response that claims to have done what the frame asks for. Names as many of its values as possible; some intents sometimes get
    just "Okay."."""
    fitting = [t for t in DONE[key] if all(name in frame or name in _MADE_UP for name in t.slots)]
    fitting = [t for t in fitting if "singer" not in t.slots or "song" in frame]
    if not fitting:
        return "Okay."
    mentioned = [sum(name in frame for name in t.slots) for t in fitting]
    most = max(mentioned)
    best = [t for t, count in zip(fitting, mentioned, strict=True) if count == most]
    if key in _NODS and rng.random() < 0.15:
        return "Okay."
    return speak(pick(tuple(best), rng), frame, rng)


def speak(template: Template, frame: dict[str, str], rng: Random) -> str:
    """Fill a response template; values that the frame lacks are invented."""
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


_OPENER, _ASKING, _CLOSER = lines(OPENERS), lines(ASKING_OPENERS), lines(CLOSERS)
_COMPLAINT, _FAILED = lines(COMPLAINTS)
_CORRECTION = {slot: lines(text) for slot, text in CORRECTIONS.items()}
_ANSWER = {slot: lines(text) for slot, text in ANSWERS.items()}


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
"""intent -> slot that the assistant fills with a likely value when it confused another intent with this one."""
_LIGHTS = ("lights_on", "lights_off", "dim_lights")
_OPEN = ("item", "timer_name", "topic")
"""Slots that take any words, misheard ones included."""


def _only(step: GoalStep, name: str, value: str) -> GoalStep:
    return GoalStep(step.intents, ((name, value),), step.frame, "follow")


class GrammarSpeech:
    """Speech of users in the grammar's language."""

    def written(self, text: str) -> str:
        """Unchanged: the grammar has no capitals or punctuation."""
        return text

    def request(self, step: GoalStep, user: User, rng: Random) -> Phrase:
        """A random phrase for the step, with a please or a filler by the user's manners."""
        templates = TABLE[step.key(), step.manner][tuple(sorted(name for name, _ in step.mentions))]
        phrase = say(pick(templates, rng), step.mentions, rng)
        if step.intents == (GIVING_UP,):
            return phrase
        if step.manner == "full" and rng.random() < 0.15 + 0.4 * user.manners:
            orders = phrase.words[0] in ORDERS and rng.random() < 0.7
            phrase = plain(write(pick(_ASKING if orders else _OPENER, rng), {}, rng)) + phrase
        if rng.random() < 0.05 + 0.25 * user.manners:
            phrase = phrase + plain(write(pick(_CLOSER, rng), {}, rng))
        return phrase

    def again(self, step: GoalStep, user: User, rng: Random) -> Phrase:
        """The request, newly drawn from the grammar."""
        return self.request(step, user, rng)

    def complaint(self, phrase: Phrase, nothing_happened: bool, rng: Random) -> Phrase:
        """The request again, after a complaint."""
        template = _FAILED if nothing_happened else _COMPLAINT
        return plain(write(template, {}, rng)) + phrase

    def correction(self, step: GoalStep, k: int, rng: Random) -> tuple[GoalStep, Phrase]:
        """Correction of the k-th mentioned slot, and the step that its words alone express."""
        name, value = step.mentions[k]
        return _only(step, name, value), say(pick(_CORRECTION[name], rng), ((name, value),), rng)

    def answer_to(self, step: GoalStep, slot: str, value: str, rng: Random) -> tuple[GoalStep, Phrase]:
        """Answer to a question for a slot, and the step that its words express."""
        return _only(step, slot, value), say(pick(_ANSWER[slot], rng), ((slot, value),), rng)


class GrammarSkills:
    """Skills of the assistant in the grammar's language."""

    def domain(self, intent: str) -> str | None:
        return DOMAIN_OF[intent]

    def mistaken(self, step: GoalStep, intents: tuple[str, ...], user: User, rng: Random) -> str:
        """Response for wrong intents, with likely values."""
        frame = dict(step.frame)
        assumed = _ASSUMED.get(intents[0])
        if assumed is not None and assumed not in frame:
            frame[assumed] = user.choose(assumed, rng)
        return respond("+".join(intents), frame, rng)

    def missing_slot(
        self, step: GoalStep, frame: dict[str, str], missed: Collection[int], user: User, rng: Random
    ) -> str | None:
        """Required slot that was not understood, or None. Instead of asking for the room, the assistant may assume its own."""
        if len(step.intents) > 1:
            return None
        intent = step.intents[0]
        named = {name for name, _ in step.mentions}
        understood = {name for k, (name, _) in enumerate(step.mentions) if k not in missed}
        needed = _NEEDED.get(intent)
        if needed is not None and needed not in understood and (step.manner == "full" or needed in named):
            return needed
        if intent in _LIGHTS and "room" not in understood and (step.manner == "full" or "room" in named):
            if rng.random() < 0.35:
                return "room"
            frame["room"] = user.home_room
        return None

    def ask(self, slot: str, rng: Random) -> str:
        return speak(pick(ASK[slot], rng), {}, rng)

    def done(self, step: GoalStep, frame: dict[str, str], rng: Random) -> str:
        return respond(step.key(), frame, rng)

    def takes(self, slot: str, words: str) -> bool:
        """Open slots take any words, others the entities of their catalog."""
        return slot in _OPEN or words in ENTITIES[slot]

    def spoils(self, slot: str) -> bool:
        """Without a quantity or timer name the step is done less well."""
        return slot in ("quantity", "timer_name")

    def another(self, slot: str, than: str, rng: Random) -> str:
        return another(slot, than, rng)
