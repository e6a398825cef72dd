"""The assistant's ears: wake word and speech recognition, with their mistakes."""

import re
from dataclasses import dataclass
from functools import cache
from random import Random

from rapidfuzz import fuzz, process

from labelgen.data.dialogue import Recognition
from labelgen.world.entities import ENTITIES
from labelgen.world.grammar import Phrase
from labelgen.world.options import WorldOptions
from labelgen.world.user import User

_ALIKE: dict[str, tuple[str, ...]] = {
    word: tuple(others.split())
    for word, others in (
        pair.split("=")
        for pair in """fifteen=fifty sixteen;fifty=fifteen sixty;thirty=thirteen forty;sixty=sixteen fifty;four=for five;five=nine four;nine=five nice;
two=to too;ten=tin then;eight=ate;six=sick sets;three=free tree;light=right like;lights=rights life;turn=term torn;
on=in an;off=of up;dim=him them;add=at had;put=but pull;pause=paws boss;play=pay place;next=text necks;
skip=ship keep;song=sun sung;timer=time tire;set=sat said;cancel=council candle;list=least lisp;eggs=legs ex;
milk=silk mill;bread=red dead;rice=ice nice;tea=tee key;kitchen=chicken kitten;bedroom=bathroom ballroom;
bathroom=bedroom;hallway=highway all way;office=of this;garage=garbage;weather=whether feather;rain=train brain;
oslo=also slow;rome=room roam;paris=parents harris;tomorrow=to borrow;tonight=to night;monday=sunday;
sunday=monday someday;tuesday=thursday;thursday=tuesday;jazz=chess just;rock=rook walk;news=noose use;
forget=for get;stop=shop top;minutes=minute minis;hours=ours;never=lever;mind=mine""".replace("\n", "").split(";")
    )
}
_GLUE = ("the", "a", "uh", "and", "it", "to")


@cache
def _vocabulary() -> tuple[str, ...]:
    words = {word for entities in ENTITIES.values() for entity in entities for word in re.split(r"\s", entity)}
    return tuple(sorted(words))


@cache
def sounds_like(word: str) -> tuple[str, ...]:
    """Words that this one is misheard as; never the word itself."""
    if word in _ALIKE:
        return _ALIKE[word]
    near = process.extract(word, _vocabulary(), scorer=fuzz.ratio, limit=5)
    ranked = sorted(near, key=lambda found: (-found[1], found[0]))
    return tuple(text for text, score, _ in ranked if text != word and score >= 40)[:3] or ("uh",)


@dataclass(frozen=True, slots=True)
class Heard:
    """What reached the assistant. phrase: the words, whose owners are those of the words said. distorted: the indices
    of slots of which a word is wrong or missing, -1 among them where a word outside of all slots is."""

    phrase: Phrase
    confidence: float
    distorted: frozenset[int]
    nbest: tuple[Recognition, ...]


def hear(said: Phrase, user: User, noise: float, options: WorldOptions, rng: Random) -> Heard:
    """Recognise a request. noise: of the room, a factor on the rate of errors."""
    words, owners = list(said.words), list(said.owners)
    distorted: set[int] = set()
    if len(words) > 2 and rng.random() < options.wake_missed:
        lost = 1 + int(rng.random() * min(3, len(words) - 1))
        distorted.update(owners[:lost])
        words, owners = words[lost:], owners[lost:]
    if rng.random() < options.misheard * user.accent * noise:
        for _ in range(1 if rng.random() < 0.7 else 2):
            distorted.add(_garble(words, owners, rng))
    confidence = rng.betavariate(5.0, 3.5) if distorted else rng.betavariate(14.0, 1.4)
    heard = Phrase(words, owners)
    return Heard(heard, round(confidence, 3), frozenset(distorted), _nbest(heard, said, confidence, rng))


def _garble(words: list[str], owners: list[int], rng: Random) -> int:
    """Get one word wrong in place; gives its owner. The words of slots are rarer than "the", and err more often."""
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
        near = sounds_like(words[k])
        words[k] = near[int(rng.random() * len(near))]
    return owner


def _nbest(heard: Phrase, said: Phrase, confidence: float, rng: Random) -> tuple[Recognition, ...]:
    # Half of the requests keep their alternatives, as logs do that thin out what is large.
    if rng.random() < 0.5:
        return ()
    score = round(-len(heard.words) * (1.15 - confidence), 3)
    best = Recognition(text=heard.text(), score=score)
    other = said.text()
    if other == best.text or rng.random() < 0.4:
        words = list(heard.words)
        k = int(rng.random() * len(words))
        words[k] = sounds_like(words[k])[0]
        other = " ".join(words)
    return (best, Recognition(text=other, score=round(score - rng.expovariate(0.6) - 0.05, 3)))
