"""What a user wants of a dialogue: goals, each a few steps in one domain."""

from dataclasses import dataclass, field
from random import Random

from labelgen.simulator.entities import ENTITIES, SINGER_OF
from labelgen.simulator.grammar import Phrase
from labelgen.simulator.phrases import TABLE, Manner
from labelgen.simulator.user import User

Slot = tuple[str, str]
"""A slot's name, and the words that the user has in mind."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the user wants done. said: the slots that the user mentions; frame: all that is meant, with what
    context adds to an elliptical request. Of a step that a corpus tells, also its words, its right response, and the
    normalized value of each slot said."""

    intents: tuple[str, ...]
    said: tuple[Slot, ...]
    frame: dict[str, str]
    manner: Manner
    words: Phrase | None = None
    response: str = ""
    values: tuple[str, ...] = ()

    def key(self) -> str:
        return "+".join(self.intents)

    def slot_key(self, k: int) -> str:
        """The name in the frame of the slot said k-th: the second item of "milk and eggs" is `item2`."""
        name = self.said[k][0]
        before = sum(name == other for other, _ in self.said[:k])
        return f"{name}{before + 1}" if before else name

    def value(self, k: int) -> str:
        """What the slot said k-th stands for: the words that were meant, unless a corpus gives another form."""
        return self.values[k] if self.values else self.said[k][1]


@dataclass(slots=True)
class Goal:
    """steps are done one after another; turns and failed are what became of them. broken_at: the earliest turn whose
    mistake was not recovered from, None where there is none. dropped: the user gave it up. thanked: the user's own words hold thanks, so that none need
    be added."""

    domain: str
    steps: list[Step]
    turns: list[int] = field(default_factory=list)
    failed: bool = False
    broken_at: int | None = None
    dropped: bool = False
    thanked: bool = False

    def outcome(self) -> str:
        return "failure" if self.failed else "success"

    def fail(self, at: int | None) -> None:
        """The step under way is not reached, whose first mistake was made at that turn, if there was one."""
        self.failed = True
        self.broken_at = at if self.broken_at is None else self.broken_at


def plan(domain: str, user: User, rng: Random) -> Goal:
    """Draw a goal of that domain, after the user's habits."""
    return Goal(domain, _PLANS[domain](user, rng))


def _opening(intents: str, user: User, rng: Random, never: tuple[str, ...] = ()) -> Step:
    """A full request, with any of the sets of slots that there are phrases for."""
    variants = [slots for slots in TABLE[intents, "full"] if not set(never) & set(slots)]
    return _step(intents, "full", variants[int(rng.random() * len(variants))], {}, user, rng)


def _step(
    intents: str, manner: Manner, slots: tuple[str, ...], before: dict[str, str], user: User, rng: Random
) -> Step:
    said: list[Slot] = []
    for name in slots:
        value = user.choose(name, rng)
        while (name, value) in said or before.get(name) == value:
            value = ENTITIES[name][int(rng.random() * len(ENTITIES[name]))]
        said.append((name, value))
    if [name for name, _ in said] == ["artist", "song"]:
        said[0] = ("artist", SINGER_OF[said[1][1]])
    if [name for name, _ in said].count("item") == 2:
        frame = {**before, "item": said[0][1], "item2": said[1][1]}
    elif [name for name, _ in said].count("room") == 2:
        frame = {**before, "room": said[0][1], "room2": said[1][1]}
    else:
        frame = {**before, **dict(said)}
    return Step(tuple(intents.split("+")), tuple(said), frame, manner)


def _follow(step: Step, slots: tuple[str, ...], user: User, rng: Random, intent: str | None = None) -> Step:
    return _step(intent or step.intents[0], "follow", slots, step.frame, user, rng)


def _music(user: User, rng: Random) -> list[Step]:
    compound = rng.random() < 0.08
    first = _opening("play_music+set_volume" if compound else "play_music", user, rng)
    steps = [first]
    if rng.random() < 0.25:
        steps.append(
            _step("play_music", "follow", (("artist",), ("genre",), ("song",))[int(rng.random() * 3)], {}, user, rng)
        )
    for intent, share in (("set_volume", 0.3), ("next_song", 0.4), ("pause_music", 0.35)):
        if rng.random() < share:
            steps.append(_opening(intent, user, rng))
            if intent == "set_volume" and rng.random() < 0.4:
                steps.append(_follow(steps[-1], ("level",) if rng.random() < 0.7 else (), user, rng))
    return steps


def _timers(user: User, rng: Random) -> list[Step]:
    steps = [_opening("set_timer", user, rng)]
    frame = steps[0].frame
    if "duration" not in frame:
        frame["duration"] = user.choose("duration", rng)
    if rng.random() < 0.35:
        steps.append(_follow(steps[0], ("duration",), user, rng))
    name = ("timer_name",) if "timer_name" in frame else ()
    for intent, share in (("check_timer", 0.45), ("cancel_timer", 0.35)):
        if rng.random() < share:
            step = Step((intent,), tuple((n, frame[n]) for n in name), dict(steps[-1].frame), "full")
            steps.append(step)
    if steps[-1].intents == ("set_timer",) and rng.random() < 0.1:
        steps.append(Step(("cancel_timer",), (), dict(steps[-1].frame), "follow"))
    return steps


def _weather(user: User, rng: Random) -> list[Step]:
    steps = [_opening("get_weather", user, rng)]
    for _ in range(2):
        if rng.random() < 0.35:
            kinds = (("date",), ("place",), ("date",), ("date", "place"))
            steps.append(_follow(steps[-1], kinds[int(rng.random() * 4)], user, rng))
    return steps


def _lights(user: User, rng: Random) -> list[Step]:
    kind = rng.random()
    if kind < 0.07:
        return [_opening("lights_off+lights_on", user, rng)]
    intent = "lights_on" if kind < 0.4 else "lights_off" if kind < 0.75 else "dim_lights"
    steps = [_opening(intent, user, rng)]
    frame = steps[0].frame
    if "room" not in frame:
        frame["room"] = user.home_room
    if rng.random() < 0.3:
        steps.append(_follow(steps[0], ("room",), user, rng))
    if intent == "dim_lights" and rng.random() < 0.35:
        steps.append(_follow(steps[-1], ("level",) if rng.random() < 0.7 else (), user, rng))
    elif intent == "lights_on" and rng.random() < 0.4:
        last = steps[-1].frame
        if rng.random() < 0.5:
            steps.append(Step(("lights_off",), (), dict(last), "follow"))
        else:
            steps.append(Step(("lights_off",), (("room", last["room"]),), dict(last), "full"))
    return steps


def _shopping(user: User, rng: Random) -> list[Step]:
    if rng.random() < 0.2:
        steps = [_opening("check_list", user, rng)]
        if "item" in steps[0].frame and rng.random() < 0.4:
            steps.append(_follow(steps[0], ("item",), user, rng))
        return steps
    compound = rng.random() < 0.08
    steps = [_opening("add_to_list+remove_from_list" if compound else "add_to_list", user, rng)]
    for _ in range(2):
        if rng.random() < 0.35:
            kinds = (("item",), ("item", "quantity"), ("item", "item"), ("quantity",))
            slots = kinds[int(rng.random() * (4 if len(steps[-1].said) == 1 and steps[-1].said[0][0] == "item" else 3))]
            before = dict(steps[-1].frame) if slots == ("quantity",) else {}
            steps.append(_step("add_to_list", "follow", slots, before, user, rng))
    if rng.random() < 0.2:
        steps.append(_opening("check_list", user, rng, never=("item",)))
    elif rng.random() < 0.2:
        last = steps[-1].frame
        if rng.random() < 0.4:
            steps.append(Step(("remove_from_list",), (), dict(last), "follow"))
        else:
            steps.append(Step(("remove_from_list",), (("item", last["item"]),), dict(last), "full"))
    return steps


def _news(user: User, rng: Random) -> list[Step]:
    steps = [_opening("get_news", user, rng)]
    if rng.random() < 0.4:
        steps.append(_follow(steps[0], ("topic",) if rng.random() < 0.6 else (), user, rng))
    return steps


_PLANS = {
    "music": _music,
    "timers": _timers,
    "weather": _weather,
    "lights": _lights,
    "shopping": _shopping,
    "news": _news,
}
DOMAINS = tuple(_PLANS)
