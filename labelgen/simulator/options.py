"""What can be set about the simulated world."""

from dataclasses import dataclass, fields

from labelgen.base.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldOptions:
    """Rates are probabilities in 0..1. Changing `annotated` or `carelessness` leaves the dialogues themselves as they
    are. Raises UsageError for a rate outside 0..1, or where there is no user."""

    users: int = 600
    """How many different users the log has; each dialogue draws one of them."""
    wake_missed: float = 0.015
    """The microphone opens late, and the first words of a request are lost."""
    misheard: float = 0.13
    """The recognizer gets one or two words of a request wrong; scaled by the user's accent and the room's noise."""
    intent_errors: float = 0.06
    """The assistant takes a request for another one; more for misheard and for elliptical requests."""
    slot_errors: float = 0.06
    """The assistant misses a slot, or gives it another name or border."""
    entity_errors: float = 0.07
    """A slot is understood, but the wrong song, room or city is found for it."""
    result_errors: float = 0.03
    """The service behind the assistant fails and says so."""
    silent_errors: float = 0.02
    """The assistant says that it did what was asked, and did not."""
    noticed: float = 0.92
    """The user notices that a response is wrong."""
    explored: float = 0.05
    """Of a world grown from a corpus: the user asks for something else of the kind first, where that is possible. The
    world with its own language has follow-ups instead."""
    reactions: float = 1.0
    """Scales how often users react in a way that the log can record (barge in, stop, rate, answer); 0 silences them."""
    asked: float = 0.12
    """After doing something, the assistant asks whether that was what the user wanted."""
    rated: float = 0.1
    """The user rates the dialogue; up to four times as often after much annoyance."""
    annotated: float = 1.0
    """Share of the dialogues that the four people annotate."""
    carelessness: float = 0.5
    """Scales the error rates of the four people from none (0) to twice the usual (1)."""
    sound: float = 0.0
    """Share of the dialogues that come with a test signal as sound (simulator/sound.py)."""

    def __post_init__(self) -> None:
        for field in fields(WorldOptions):
            value = getattr(self, field.name)
            if field.name == "users":
                if value < 1:
                    raise UsageError(f"users is {value}", "the options of the world", "give at least one user")
            elif not 0.0 <= value <= 1.0:
                raise UsageError(
                    f"{field.name} is {value}, not within 0..1", "the options of the world", "give a probability"
                )
