"""Simulated users and their goals; a goal is a few steps in one domain."""

from dataclasses import dataclass, field
from random import Random

from labelgen.simulator.vocabulary import ENTITIES, SINGER_OF, TABLE, Manner

_DEVICES = ("speaker", "speaker", "speaker", "phone", "phone", "display", "car", "watch")
_HABITS = {"song": 6, "artist": 5, "genre": 3, "room": 5, "place": 3, "topic": 3, "item": 14, "timer_name": 4}


@dataclass(frozen=True, slots=True)
class User:
    """A user. habits: slot -> favorite entities. domains: weights, in the order of DOMAINS. patience: probability of another
    try after a failure. openness: tendency to show feelings. manners: tendency to say please and thanks.
    accent: factor on the recognition error rate."""

    id: str
    device: str
    home_room: str
    home_place: str
    habits: dict[str, tuple[str, ...]]
    domains: tuple[float, ...]
    patience: float
    openness: float
    manners: float
    accent: float

    def choose(self, slot: str, rng: Random) -> str:
        """Draw an entity for the slot: two times in three a favorite, else any."""
        habit = self.habits.get(slot)
        known = habit if habit and rng.random() < 0.66 else ENTITIES[slot]
        return known[int(rng.random() * len(known))]


def user_of(seed: int, number: int) -> User:
    """User `number` of the log with that seed."""
    rng = Random(f"user/{seed}/{number}")
    habits = {slot: tuple(rng.sample(ENTITIES[slot], count)) for slot, count in _HABITS.items()}
    return User(
        id=f"u{number:04d}",
        device=rng.choice(_DEVICES),
        home_room=rng.choice(ENTITIES["room"]),
        home_place=rng.choice(ENTITIES["place"]),
        habits=habits,
        domains=tuple(round(rng.expovariate(1.0) + 0.2, 3) for _ in range(6)),
        patience=round(rng.betavariate(4, 3), 3),
        openness=round(rng.betavariate(2, 3), 3),
        manners=round(rng.betavariate(2, 5), 3),
        accent=round(rng.uniform(0.5, 1.7), 3),
    )


Slot = tuple[str, str]
"""Slot name, and the intended words."""


@dataclass(frozen=True, slots=True)
class GoalStep:
    """One request of a goal. mentions: slots that the user mentions; frame: all intended slots, including those that context adds to an
    elliptical request."""

    intents: tuple[str, ...]
    mentions: tuple[Slot, ...]
    frame: dict[str, str]
    manner: Manner

    def key(self) -> str:
        return "+".join(self.intents)

    def slot_key(self, k: int) -> str:
        """Name in the frame of the k-th mentioned slot: the second item of "milk and eggs" is `item2`."""
        name = self.mentions[k][0]
        before = sum(name == other for other, _ in self.mentions[:k])
        return f"{name}{before + 1}" if before else name


@dataclass(slots=True)
class UserGoal:
    """A goal: its remaining steps, and its ground truth. turns: that serve it. broken_at: the earliest turn with a mistake that was not
    repaired, or None. dropped: the user gave it up."""

    domain: str
    steps: list[GoalStep]
    turns: list[int] = field(default_factory=list)
    failed: bool = False
    broken_at: int | None = None
    dropped: bool = False

    def outcome(self) -> str:
        return "failure" if self.failed else "success"

    def fail(self, at: int | None) -> None:
        """Mark the goal as failed. at: turn of the first mistake in the current step, if any."""
        self.failed = True
        self.broken_at = at if self.broken_at is None else self.broken_at


def plan(domain: str, user: User, rng: Random) -> UserGoal:
    """Draw a goal of that domain, by the user's habits."""
    return UserGoal(domain, _PLANS[domain](user, rng))


def _opening(intents: str, user: User, rng: Random, never: tuple[str, ...] = ()) -> GoalStep:
    """A full request with a random set of slots that has phrases."""
    variants = [slots for slots in TABLE[intents, "full"] if not set(never) & set(slots)]
    return _step(intents, "full", variants[int(rng.random() * len(variants))], {}, user, rng)


def _step(
    intents: str, manner: Manner, slots: tuple[str, ...], before: dict[str, str], user: User, rng: Random
) -> GoalStep:
    slot_values: list[Slot] = []
    for name in slots:
        value = user.choose(name, rng)
        while (name, value) in slot_values or before.get(name) == value:
            value = ENTITIES[name][int(rng.random() * len(ENTITIES[name]))]
        slot_values.append((name, value))
    if [name for name, _ in slot_values] == ["artist", "song"]:
        slot_values[0] = ("artist", SINGER_OF[slot_values[1][1]])
    step = GoalStep(tuple(intents.split("+")), tuple(slot_values), dict(before), manner)
    step.frame.update((step.slot_key(k), value) for k, (_, value) in enumerate(slot_values))
    return step


def _follow(step: GoalStep, slots: tuple[str, ...], user: User, rng: Random) -> GoalStep:
    return _step(step.intents[0], "follow", slots, step.frame, user, rng)


def _music(user: User, rng: Random) -> list[GoalStep]:
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


def _timers(user: User, rng: Random) -> list[GoalStep]:
    steps = [_opening("set_timer", user, rng)]
    frame = steps[0].frame
    if "duration" not in frame:
        frame["duration"] = user.choose("duration", rng)
    if rng.random() < 0.35:
        steps.append(_follow(steps[0], ("duration",), user, rng))
    name = ("timer_name",) if "timer_name" in frame else ()
    for intent, share in (("check_timer", 0.45), ("cancel_timer", 0.35)):
        if rng.random() < share:
            step = GoalStep((intent,), tuple((n, frame[n]) for n in name), dict(steps[-1].frame), "full")
            steps.append(step)
    if steps[-1].intents == ("set_timer",) and rng.random() < 0.1:
        steps.append(GoalStep(("cancel_timer",), (), dict(steps[-1].frame), "follow"))
    return steps


def _weather(user: User, rng: Random) -> list[GoalStep]:
    steps = [_opening("get_weather", user, rng)]
    for _ in range(2):
        if rng.random() < 0.35:
            kinds = (("date",), ("place",), ("date",), ("date", "place"))
            steps.append(_follow(steps[-1], kinds[int(rng.random() * 4)], user, rng))
    return steps


def _lights(user: User, rng: Random) -> list[GoalStep]:
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
            steps.append(GoalStep(("lights_off",), (), dict(last), "follow"))
        else:
            steps.append(GoalStep(("lights_off",), (("room", last["room"]),), dict(last), "full"))
    return steps


def _shopping(user: User, rng: Random) -> list[GoalStep]:
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
            slots = kinds[
                int(rng.random() * (4 if len(steps[-1].mentions) == 1 and steps[-1].mentions[0][0] == "item" else 3))
            ]
            before = dict(steps[-1].frame) if slots == ("quantity",) else {}
            steps.append(_step("add_to_list", "follow", slots, before, user, rng))
    if rng.random() < 0.2:
        steps.append(_opening("check_list", user, rng, never=("item",)))
    elif rng.random() < 0.2:
        last = steps[-1].frame
        if rng.random() < 0.4:
            steps.append(GoalStep(("remove_from_list",), (), dict(last), "follow"))
        else:
            steps.append(GoalStep(("remove_from_list",), (("item", last["item"]),), dict(last), "full"))
    return steps


def _news(user: User, rng: Random) -> list[GoalStep]:
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
