"""Simulated wake word detection and speech recognition, with errors."""

from dataclasses import dataclass
from functools import cache
from random import Random

from rapidfuzz import fuzz, process

from labelgen.data.dialogue import Recognition
from labelgen.simulator.grammar import Phrase
from labelgen.simulator.users import User
from labelgen.simulator.vocabulary import ENTITIES, LANGUAGE
from labelgen.simulator.world import WorldOptions

_GLUE = ("the", "a", "uh", "and", "it", "to")


_VOCABULARY = sorted({word for entities in ENTITIES.values() for entity in entities for word in entity.split()})


@cache
def alike(word: str) -> tuple[str, ...]:
    """Words that a word is misheard as, at least one, never the word itself."""
    if word in LANGUAGE["misheard"]:
        return tuple(LANGUAGE["misheard"][word])
    near = process.extract(word, _VOCABULARY, scorer=fuzz.ratio, limit=5)
    ranked = sorted(near, key=lambda one: (-one[1], one[0]))
    return tuple(text for text, score, _ in ranked if text != word and score >= 40)[:3] or ("uh",)


@dataclass(frozen=True, slots=True)
class HeardRequest:
    """A recognized request. phrase: its words, with the slots of the words said. distorted: indices of slots with a wrong or missing
    word, -1 for words outside of slots. faults: stages of `log.STAGES` that failed."""

    phrase: Phrase
    confidence: float
    distorted: frozenset[int]
    nbest: tuple[Recognition, ...]
    faults: tuple[str, ...]


def hear(phrase: Phrase, user: User, noise: float, options: WorldOptions, rng: Random) -> HeardRequest:
    """Recognize a request. noise: factor on the error rate."""
    words, owners = list(phrase.words), list(phrase.owners)
    distorted: set[int] = set()
    faults: list[str] = []
    if len(words) > 2 and rng.random() < options.wake_missed:
        lost = 1 + int(rng.random() * min(3, len(words) - 1))
        faults.append("wake")
        distorted.update(owners[:lost])
        words, owners = words[lost:], owners[lost:]
    if rng.random() < options.misheard * user.accent * noise:
        for _ in range(1 if rng.random() < 0.7 else 2):
            distorted.add(_garble(words, owners, rng))
        faults.append("recognition")
    confidence = rng.betavariate(5.0, 3.5) if distorted else rng.betavariate(14.0, 1.4)
    heard = Phrase(words, owners)
    nbest = _nbest(heard, phrase, confidence, rng)
    return HeardRequest(heard, round(confidence, 3), frozenset(distorted), nbest, tuple(faults))


def _garble(words: list[str], owners: list[int], rng: Random) -> int:
    """Distort one word in place and return its slot. Slot words are rarer than "the" and get more errors."""
    k = int(rng.random() * len(words))
    if owners[k] < 0:
        k = int(rng.random() * len(words))
    owner = owners[k]
    kind = rng.random()
    if kind < 0.15 and len(words) > 1:
        del words[k], owners[k]
    elif kind < 0.22:
        words.insert(k, _GLUE[int(rng.random() * len(_GLUE))])
        owners.insert(k, owner if k and owners[k - 1] == owner else -1)
    else:
        near = alike(words[k])
        words[k] = near[int(rng.random() * len(near))]
    return owner


def _nbest(heard: Phrase, phrase: Phrase, confidence: float, rng: Random) -> tuple[Recognition, ...]:
    """The recognized words and one alternative, which most often is the words said."""
    # Half of the requests keep their alternatives: real logs drop large fields too.
    if rng.random() < 0.5:
        return ()
    score = round(-len(heard.words) * (1.15 - confidence), 3)
    best, rival = heard.text(), phrase.text()
    if rival == best or rng.random() < 0.4:
        words = list(heard.words)
        k = int(rng.random() * len(words))
        words[k] = alike(words[k])[0]
        rival = " ".join(words)
    lower = round(score - rng.expovariate(0.6) - 0.05, 3)
    return Recognition(text=best, score=score), Recognition(text=rival, score=lower)
