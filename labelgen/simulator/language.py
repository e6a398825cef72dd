"""What users of the simulation say, and what the assistant answers."""

from collections.abc import Collection
from random import Random

from labelgen.simulator.users import GoalStep, User
from labelgen.simulator.vocabulary import (
    ASSUMED,
    DONE,
    GIVING_UP,
    LANGUAGE,
    SINGER_OF,
    SONGS,
    TABLE,
    Phrase,
    Template,
    Templates,
    parsed,
    pick,
    plain,
    say,
    write,
)

USERS: dict[str, Templates] = {name: parsed(texts) for name, texts in LANGUAGE["users"].items()}
ASSISTANT: dict[str, Templates] = {name: parsed(texts) for name, texts in LANGUAGE["assistant"].items()}
_CORRECT, _ASK, _ANSWER = (
    {slot: parsed(one[name]) for slot, one in LANGUAGE["slots"].items() if name in one}
    for name in ("correct", "ask", "answer")
)
_ORDERS = frozenset(LANGUAGE["orders"])
_SKIES, _WHO, _DID = (LANGUAGE["made_up"][name] for name in ("skies", "who", "did"))
_TITLES = ("song", "artist", "place")
_NODS = ("pause_music", "next_song", "set_volume", "lights_on", "lights_off", "dim_lights")
_MADE_UP = frozenset(("singer", "any_song", "any_singer", "left", "degrees", "sky", "items", "presence", "headline"))
_NEEDED = {"set_timer": "duration", "add_to_list": "item", "remove_from_list": "item"}
_LIGHTS = ("lights_on", "lights_off", "dim_lights")


def request(step: GoalStep, user: User, rng: Random) -> Phrase:
    """A random phrase for the step, with a please or a filler by the user's manners."""
    templates = TABLE[step.key(), step.manner][tuple(sorted(name for name, _ in step.mentions))]
    phrase = say(pick(templates, rng), step.mentions, rng)
    if step.intents == (GIVING_UP,):
        return phrase
    if step.manner == "full" and rng.random() < 0.15 + 0.4 * user.manners:
        orders = phrase.words[0] in _ORDERS and rng.random() < 0.7
        phrase = plain(aside("asking" if orders else "opener", rng)) + phrase
    if rng.random() < 0.05 + 0.25 * user.manners:
        phrase = phrase + plain(aside("closer", rng))
    return phrase


def aside(kind: str, rng: Random) -> str:
    """Words of a user outside of requests, such as `thanks`."""
    return write(pick(USERS[kind], rng), {}, rng)


def complaint(phrase: Phrase, nothing_happened: bool, rng: Random) -> Phrase:
    """The request again, after a complaint."""
    [template] = USERS["nothing_happened" if nothing_happened else "complaint"]
    return plain(write(template, {}, rng)) + phrase


def correction(step: GoalStep, k: int, rng: Random) -> tuple[GoalStep, Phrase]:
    """Correction of the k-th mentioned slot, and the step that its words alone express."""
    name, value = step.mentions[k]
    return _only(step, name, value), say(pick(_CORRECT[name], rng), ((name, value),), rng)


def answer_to(step: GoalStep, slot: str, value: str, rng: Random) -> tuple[GoalStep, Phrase]:
    """Answer to a question for a slot, and the step that its words express."""
    return _only(step, slot, value), say(pick(_ANSWER[slot], rng), ((slot, value),), rng)


def _only(step: GoalStep, name: str, value: str) -> GoalStep:
    return GoalStep(step.intents, ((name, value),), step.frame, "follow")


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
    return speak(tuple(best), rng, frame)


def mistaken(step: GoalStep, intents: tuple[str, ...], user: User, rng: Random) -> str:
    """Response for wrong intents, with likely values."""
    frame = dict(step.frame)
    assumed = ASSUMED.get(intents[0])
    if assumed is not None and assumed not in frame:
        frame[assumed] = user.choose(assumed, rng)
    return respond("+".join(intents), frame, rng)


def missing_slot(step: GoalStep, frame: dict[str, str], missed: Collection[int], user: User, rng: Random) -> str | None:
    """The slot that the assistant asks for, or None. In place of asking for the room it may put its own into the frame. missed: indices,
    among the slots said, of those not understood."""
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


def ask(slot: str, rng: Random) -> str:
    """Question for a slot."""
    return speak(_ASK[slot], rng)


def speak(templates: Templates, rng: Random, frame: dict[str, str] | None = None) -> str:
    """Draw a response template and fill it; values that the frame lacks are invented."""
    template, frame = pick(templates, rng), frame or {}
    text = " ".join(write(template, _values(template, frame, rng), rng).split()).replace(" .", ".")
    return text[:1].upper() + text[1:]


def _values(template: Template, frame: dict[str, str], rng: Random) -> dict[str, str]:
    values = {}
    for name in template.slots:
        if name in frame:
            values[name] = frame[name].title() if name in _TITLES else frame[name]
        elif name in _MADE_UP:
            values[name] = _invent(name, frame, rng)
    return values


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
            return str(_SKIES[int(rng.random() * len(_SKIES))])
        case "items":
            return f"{2 + int(rng.random() * 9)} things"
        case "presence":
            return "Yes" if rng.random() < 0.8 else "Right"
        case _:
            who, did = _WHO[int(rng.random() * len(_WHO))], _DID[int(rng.random() * len(_DID))]
            return f"{who} {did}."
