"""The users of the simulated log: who they are, and what they are used to."""

from dataclasses import dataclass
from random import Random

from labelgen.simulator.entities import ENTITIES, PLACES, ROOMS

_DEVICES = ("speaker", "speaker", "speaker", "phone", "phone", "display", "car", "watch")
_HABITS = {"song": 6, "artist": 5, "genre": 3, "room": 5, "place": 3, "topic": 3, "item": 14, "timer_name": 4}


@dataclass(frozen=True, slots=True)
class User:
    """habits: per slot the entities this user comes back to. domains: weights, in the order of world.goals.DOMAINS.
    patience: share of failures after which the user tries again. openness: how readily the user lets feelings be
    known. manners: how often the user says please and thanks. accent: factor on the recognizer's errors. pitch_hz: of
    the voice."""

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
    pitch_hz: float

    def choose(self, slot: str, rng: Random) -> str:
        """An entity for the slot: two times in three one of the habits, else any."""
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
        home_room=rng.choice(ROOMS),
        home_place=rng.choice(PLACES),
        habits=habits,
        domains=tuple(round(rng.expovariate(1.0) + 0.2, 3) for _ in range(6)),
        patience=round(rng.betavariate(4, 3), 3),
        openness=round(rng.betavariate(2, 3), 3),
        manners=round(rng.betavariate(2, 5), 3),
        accent=round(rng.uniform(0.5, 1.7), 3),
        pitch_hz=round(rng.uniform(95.0, 240.0), 1),
    )
