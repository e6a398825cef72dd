"""Worlds: the options of a simulation, and the interface of the parts in which worlds differ.

Language and skills are an interface of their own; the pipeline and its faults, the users and their reactions, and the annotators do
not know which words are used."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random
from typing import Annotated, Protocol

from labelgen.base.options import Count, Range, Rate, Share
from labelgen.simulator.grammar import Phrase
from labelgen.simulator.users import GoalStep, User
from labelgen.simulator.vocabulary import Meanings


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldOptions:
    """Options of the simulation. Rates are probabilities in 0..1. `annotated`, `carelessness`, `strictness` and `transcribed` do not
    change the dialogues themselves. Raises UsageError for a value out of its range."""

    users: Count = 600
    """number of different users; each dialogue draws one"""
    wake_missed: Rate = 0.015
    """rate at which the microphone opens late, so that the first words of a request are lost"""
    misheard: Rate = 0.13
    """rate of requests with one or two recognition errors; scaled by the user's accent and the noise"""
    intent_errors: Rate = 0.06
    """rate of wrong intents; higher for misheard and for elliptical requests"""
    slot_errors: Rate = 0.06
    """rate of slots that are missed, or get a wrong name or border"""
    entity_errors: Rate = 0.07
    """rate of wrong entities, such as another song, for slots that were understood"""
    result_errors: Rate = 0.03
    """rate of service failures that the assistant reports"""
    silent_errors: Rate = 0.02
    """rate of requests that the assistant claims to have done but did not"""
    noticed: Rate = 0.92
    """probability that the user notices a wrong response"""
    reactions: Rate = 1.0
    """factor on the rate of logged reactions (barge-in, stop, rating, answer); 0 for none"""
    asked: Rate = 0.12
    """rate at which the assistant asks for feedback after a response"""
    rated: Rate = 0.1
    """rate of dialogue ratings; up to four times as high for annoyed users"""
    annotated: Share = 1.0
    """share of the dialogues that the four annotators label"""
    carelessness: Rate = 0.5
    """error rates of the annotators, from none (0) to twice the usual ones (1)"""
    strictness: Annotated[float, Range(-1, 1)] = 0.0
    """share of the annotators' ratings that are one step lower than usual; below 0, one step higher"""
    transcribed: Share = 0.0
    """share of the dialogues whose truth has the words that were spoken, as labels of the task transcription"""
    sound: Share = 0.0
    """share of the dialogues with a test signal as audio in sound/ next to the log"""


@dataclass(frozen=True, slots=True)
class Ears:
    """Confusions of the speech recognizer. alike: word -> words that it is misheard as, at least one, never the word itself. rivals:
    number of alternatives in an n-best list besides the best."""

    alike: Callable[[str], tuple[str, ...]]
    rivals: int


class Speech(Protocol):
    """How users phrase their requests."""

    def written(self, text: str) -> str:
        """Words outside of requests, such as thanks, in the spelling of this world."""

    def request(self, step: GoalStep, user: User, rng: Random) -> Phrase:
        """First request of a step."""

    def again(self, step: GoalStep, user: User, rng: Random) -> Phrase:
        """Rephrased request of a step."""

    def complaint(self, phrase: Phrase, nothing_happened: bool, rng: Random) -> Phrase:
        """The request after a complaint about the response."""

    def correction(self, step: GoalStep, k: int, rng: Random) -> tuple[GoalStep, Phrase]:
        """Correction of the k-th mentioned slot, and the step that its words alone express."""

    def answer_to(self, step: GoalStep, slot: str, value: str, rng: Random) -> tuple[GoalStep, Phrase]:
        """Answer to a question for a slot, and the step that its words express."""


class AssistantSkills(Protocol):
    """What the assistant can do, and its responses."""

    def domain(self, intent: str) -> str | None: ...

    def mistaken(self, step: GoalStep, intents: tuple[str, ...], user: User, rng: Random) -> str:
        """Response for wrong intents."""

    def missing_slot(
        self, step: GoalStep, frame: dict[str, str], missed: Collection[int], user: User, rng: Random
    ) -> str | None:
        """The slot that the assistant asks for. None if it continues without one; assumed values are then put into the frame.
        missed: indices, among the slots said, of those not understood."""

    def ask(self, slot: str, rng: Random) -> str:
        """Question for a slot."""

    def done(self, step: GoalStep, frame: dict[str, str], rng: Random) -> str:
        """Response that claims to have done the step for the frame; missing values are invented."""

    def takes(self, slot: str, words: str) -> bool:
        """Whether these words, misheard or not, are an entity of the slot."""

    def another(self, slot: str, than: str, rng: Random) -> str:
        """Another entity of the slot."""

    def spoils(self, slot: str) -> bool:
        """Whether the step still counts as done, though less well, if only this slot was missed."""


@dataclass(frozen=True, slots=True)
class World:
    """One world: its intents and slots, and how they are said, heard and served."""

    meanings: Meanings
    ears: Ears
    speech: Speech
    skills: AssistantSkills
