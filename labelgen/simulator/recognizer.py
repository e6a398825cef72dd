"""Simulated wake word detection and speech recognition, with errors."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from random import Random

from rapidfuzz import fuzz, process

from labelgen.data.dialogue import Recognition
from labelgen.simulator.grammar import Phrase, bare
from labelgen.simulator.users import User
from labelgen.simulator.vocabulary import ENTITIES
from labelgen.simulator.world import Ears, WorldOptions

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


def ears(vocabulary: Iterable[str], rivals: int) -> Ears:
    """Confusions with words of a vocabulary that are spelled similarly. Capitals and punctuation stay."""
    known = tuple(sorted(vocabulary))

    @cache
    def alike(word: str) -> tuple[str, ...]:
        start, core, end = bare(word)
        low = core.lower()
        similar = _ALIKE.get(low)
        if similar is None:
            near = process.extract(low, known, scorer=fuzz.ratio, limit=5)
            ranked = sorted(near, key=lambda one: (-one[1], one[0]))
            similar = tuple(text for text, score, _ in ranked if text != low and score >= 40)[:3] or ("uh",)
        return tuple(start + (text.capitalize() if core[0].isupper() else text) + end for text in similar)

    return Ears(alike, rivals)


GRAMMAR_EARS = ears(
    {word for entities in ENTITIES.values() for entity in entities for word in entity.split()}, rivals=1
)


@dataclass(frozen=True, slots=True)
class HeardRequest:
    """A recognized request. phrase: its words, with the slots of the words said. distorted: indices of slots with a wrong or missing
    word, -1 for words outside of slots. faults: stages of `log.STAGES` that failed."""

    phrase: Phrase
    confidence: float
    distorted: frozenset[int]
    nbest: tuple[Recognition, ...]
    faults: tuple[str, ...]


def hear(phrase: Phrase, user: User, noise: float, ears: Ears, options: WorldOptions, rng: Random) -> HeardRequest:
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
            distorted.add(_garble(words, owners, ears, rng))
        faults.append("recognition")
    confidence = rng.betavariate(5.0, 3.5) if distorted else rng.betavariate(14.0, 1.4)
    heard = Phrase(words, owners)
    nbest = _nbest(heard, phrase, confidence, ears, rng)
    return HeardRequest(heard, round(confidence, 3), frozenset(distorted), nbest, tuple(faults))


def _garble(words: list[str], owners: list[int], ears: Ears, rng: Random) -> int:
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
        near = ears.alike(words[k])
        words[k] = near[int(rng.random() * len(near))]
    return owner


def _nbest(heard: Phrase, phrase: Phrase, confidence: float, ears: Ears, rng: Random) -> tuple[Recognition, ...]:
    """Alternatives by descending score; most lists contain the words said."""
    # Half of the requests keep their alternatives: real logs drop large fields too.
    if rng.random() < 0.5:
        return ()
    score = round(-len(heard.words) * (1.15 - confidence), 3)
    texts = [heard.text()]
    listed = [Recognition(text=texts[0], score=score)]
    for rival in range(ears.rivals):
        text = phrase.text()
        if rival or text == texts[0] or rng.random() < 0.4:
            words = list(heard.words)
            k = int(rng.random() * len(words))
            words[k] = ears.alike(words[k])[0]
            text = " ".join(words)
        if text in texts[1:]:
            continue
        score = round(score - rng.expovariate(0.6) - 0.05, 3)
        texts.append(text)
        listed.append(Recognition(text=text, score=score))
    return tuple(listed)
