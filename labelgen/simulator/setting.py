"""What differs from one simulated world to another: what can be meant, how it is said, heard, and served.

The world with a language of its own and the one that is grown from a corpus share everything else: the pipeline and its
faults, the users and how they react, the people who annotate."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Protocol

from labelgen.simulator.goals import Step
from labelgen.simulator.grammar import Phrase
from labelgen.simulator.meaning import Meanings
from labelgen.simulator.recognizer import Ears
from labelgen.simulator.user import User


class Speech(Protocol):
    """How users put what they want into words."""

    def written(self, text: str) -> str:
        """Words that serve no step, such as thanks, in the spelling of this world."""

    def request(self, step: Step, user: User, rng: Random) -> Phrase:
        """The step, said the first time."""

    def again(self, step: Step, user: User, rng: Random) -> Phrase:
        """The step in other words."""

    def complaint(self, phrase: Phrase, nothing_happened: bool, rng: Random) -> Phrase:
        """The request, after a word about what the assistant made of it."""

    def correction(self, step: Step, k: int, rng: Random) -> tuple[Step, Phrase]:
        """Only the slot said k-th, put right; and the step that those words alone stand for."""

    def answer_to(self, step: Step, slot: str, value: str, rng: Random) -> tuple[Step, Phrase]:
        """What the assistant has asked for, and the step that those words stand for."""


class Skills(Protocol):
    """What the assistant can do, and what it says then."""

    def domain(self, intent: str) -> str | None: ...

    def mistaken(self, step: Step, intents: tuple[str, ...], user: User, rng: Random) -> str:
        """The response of an assistant that took the step for these intents."""

    def lacking(
        self, step: Step, frame: dict[str, str], missed: Collection[int], user: User, rng: Random
    ) -> str | None:
        """The slot that the assistant asks for, as it did not understand it; None where it goes on without, with what it
        then takes for granted put into the frame. missed: indices, among the slots said, of those not understood."""

    def ask(self, slot: str, rng: Random) -> str:
        """A question for that slot."""

    def done(self, step: Step, frame: dict[str, str], rng: Random) -> str:
        """The response that claims to have done the step by that frame; what the frame lacks is filled somehow."""

    def takes(self, slot: str, words: str) -> bool:
        """Whether these words, misheard or not, can fill the slot."""

    def another(self, slot: str, than: str, rng: Random) -> str:
        """Something else that fills the slot."""

    def spoils(self, slot: str) -> bool:
        """Whether the step is done, if not well, where only this slot was missed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One world: meanings and all that is done with them."""

    meanings: Meanings
    ears: Ears
    speech: Speech
    skills: Skills
