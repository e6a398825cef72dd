"""What the assistant of a world grown from a corpus can do: what the corpus's assistant did, and mistakes about it."""

import re
from collections.abc import Collection
from random import Random

from labelgen.simulator.corpus.index import Index, swap
from labelgen.simulator.goals import Step
from labelgen.simulator.phrases import lines, pick
from labelgen.simulator.responses import speak
from labelgen.simulator.user import User

_ASK = lines("(Sorry, what|What|Which) {slot} (was that|did you say|)?\nSorry, I missed the {slot}.")
_OPEN = 50
"""A slot that so many different words fill takes any others too, so that what was misheard is believed."""
_TRIES = 4


class CorpusSkills:
    """`setting.Skills`."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._known = {name: frozenset(words for words, _ in found) for name, found in index.fillers.items()}

    def domain(self, intent: str) -> str | None:
        """The service, of an intent that is named `Service.Intent`."""
        service, dot, _ = intent.partition(".")
        return service if dot else None

    def mistaken(self, step: Step, intents: tuple[str, ...], user: User, rng: Random) -> str:
        """What the corpus's assistant said to somebody who meant these intents."""
        found = self._index.by_intent[intents[0]]
        for _ in range(_TRIES):
            response = found[int(rng.random() * len(found))].response
            if response != step.response:
                break
        return response

    def lacking(
        self, step: Step, frame: dict[str, str], missed: Collection[int], user: User, rng: Random
    ) -> str | None:
        """Half of what was missed is asked for; else it goes on with something likely."""
        return step.said[min(missed)][0] if missed and rng.random() < 0.5 else None

    def ask(self, slot: str, rng: Random) -> str:
        name = re.sub(r"([a-z])([A-Z])", r"\1 \2", slot.rpartition(".")[2]).replace("_", " ").lower()
        return speak(pick(_ASK, rng), {"slot": name}, rng).replace(" ?", "?")

    def done(self, step: Step, frame: dict[str, str], rng: Random) -> str:
        """The corpus's response; where something else was understood than meant, with that in its place. Where it does not
        show what it is about, the mistake cannot be seen."""
        text = step.response
        for k, (name, words) in enumerate(step.said):
            found = frame.get(step.slot_key(k)) or self.another(name, words, rng)
            if found != words:
                text = swap(text, (words, step.value(k)), found) or text
        return text

    def takes(self, slot: str, words: str) -> bool:
        known = self._known[slot]
        return len(known) >= _OPEN or words in known

    def another(self, slot: str, than: str, rng: Random) -> str:
        """Rather one that shares a word, as catalogs confuse them."""
        found = self._index.fillers[slot]
        parts = set(than.lower().split())
        chosen = "something else"
        for _ in range(_TRIES):
            words = found[int(rng.random() * len(found))][0]
            if words != than:
                chosen = words
                if parts & set(words.lower().split()):
                    break
        return chosen

    def spoils(self, slot: str) -> bool:
        return False
