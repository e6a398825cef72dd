"""How users of a world grown from a corpus speak: in the corpus's words, varied where they have to say them again."""

from dataclasses import replace
from random import Random

from labelgen.simulator.corpus.index import Index, key_of, swap, words_of
from labelgen.simulator.corpus.scripts import Line
from labelgen.simulator.entities import words
from labelgen.simulator.goals import Step
from labelgen.simulator.grammar import CLOSING, Phrase, Template, bare, plain, say, write
from labelgen.simulator.phrases import COMPLAINTS, lines, pick
from labelgen.simulator.user import User

_COMPLAINT, _FAILED = lines(COMPLAINTS)
_CORRECTION = lines("(no|no no|not that) (i said|i meant|) {value}\n(i said|i meant) {value}")
_ANSWER = lines("{value}\n(it's|make it) {value}\n{value} please")
_CARRIERS = frozenset(
    words("""i i'd i'm i'll would like love want wish need to can could you will please hey hi hello okay ok well so also and alright
    yes yeah yep sure great good perfect thanks then just help me am now actually""")
)
"""Words at the start of a request that it loses nothing without."""
_CANDIDATES = 6
_TELLING = 3
"""Shorter values than so many characters stand in a response for anything."""


class CorpusSpeech:
    """`setting.Speech`."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def written(self, text: str) -> str:
        """With a capital and a stop, where the corpus has them."""
        return _spelled(plain(text)).text() if self._index.capitals else text

    def request(self, step: Step, user: User, rng: Random) -> Phrase:
        """The corpus's own words."""
        assert step.words is not None
        return step.words

    def again(self, step: Step, user: User, rng: Random) -> Phrase:
        """As another dialogue of the corpus asks for the same with other values; or without the words that carry it; or
        with a please."""
        phrase = self.request(step, user, rng)
        kind = rng.random()
        found = self._retold(step, phrase, rng) if kind < 0.4 else None
        if found is None and kind < 0.75:
            found = self._shorter(phrase)
        return found or self._polite(phrase)

    def complaint(self, phrase: Phrase, nothing_happened: bool, rng: Random) -> Phrase:
        return plain(self.written(write(_FAILED if nothing_happened else _COMPLAINT, {}, rng))) + phrase

    def correction(self, step: Step, k: int, rng: Random) -> tuple[Step, Phrase]:
        return self._only(step, k, _CORRECTION, rng)

    def answer_to(self, step: Step, slot: str, value: str, rng: Random) -> tuple[Step, Phrase]:
        return self._only(step, next(k for k, (name, _) in enumerate(step.said) if name == slot), _ANSWER, rng)

    def other(self, step: Step, rng: Random) -> Step | None:
        """The same with another value, which a user asks for out of curiosity; None where the response does not show
        what it is about, so that nobody could say what would be right."""
        if not step.said or step.words is None:
            return None
        k = int(rng.random() * len(step.said))
        name, old = step.said[k]
        choices = self._index.fillers[name]
        new, value = choices[int(rng.random() * len(choices))]
        response = swap(step.response, (old, step.value(k)), new) if len(old) >= _TELLING else None
        if new == old or response is None or [n for n, _ in step.said].count(name) > 1:
            return None
        said = tuple((n, new if j == k else w) for j, (n, w) in enumerate(step.said))
        values = tuple(value if j == k else v for j, v in enumerate(step.values))
        phrase = _refilled(step.words, {k: new.split()})
        return Step(step.intents, said, {**step.frame, name: new}, step.manner, phrase, response, values)

    def _only(self, step: Step, k: int, templates: tuple[Template, ...], rng: Random) -> tuple[Step, Phrase]:
        phrase = say(pick(templates, rng), (("value", step.said[k][1]),), rng)
        alone = replace(step, said=(step.said[k],), values=(step.value(k),), manner="follow")
        return alone, _spelled(phrase) if self._index.capitals else phrase

    def _retold(self, step: Step, phrase: Phrase, rng: Random) -> Phrase | None:
        """The most similar of a few requests of the corpus that ask for the same slots, filled with this step's."""
        pool = self._index.alike.get(key_of(step.intents, (name for name, _ in step.said)), ())
        own = phrase.text()
        carrier = set(words_of(own))
        best: tuple[float, Phrase] | None = None
        for _ in range(min(_CANDIDATES, len(pool))):
            line = pool[int(rng.random() * len(pool))]
            asked = set(words_of(line.request))
            shared = len(asked & carrier) / len(asked | carrier)
            if best is None or shared > best[0]:
                filled = _filled(line, step)
                best = best if filled.text() == own else (shared, filled)
        return None if best is None else best[1]

    def _shorter(self, phrase: Phrase) -> Phrase | None:
        words, owners = phrase.words, phrase.owners
        first = 0
        while first < len(words) - 1 and owners[first] < 0 and bare(words[first])[1].lower() in _CARRIERS:
            first += 1
        if first == 0:
            return None
        found = Phrase(words[first:], owners[first:])
        return _spelled(found) if self._index.capitals else found

    def _polite(self, phrase: Phrase) -> Phrase:
        last = phrase.words[-1]
        start, core, end = bare(last)
        if "please" in words_of(phrase.text()):
            return plain("Again:" if self._index.capitals else "again") + phrase
        comma, stop = (",", end) if self._index.capitals else ("", "")
        body = Phrase([*phrase.words[:-1], start + core + comma], phrase.owners)
        return body + plain(f"please{stop}")


def _filled(line: Line, step: Step) -> Phrase:
    """The line's words with the step's slots in place of its own, by name and order."""
    left = list(range(len(step.said)))
    owner_of: dict[int, int] = {}
    for k, (name, *_) in enumerate(line.slots):
        owner_of[k] = next(j for j in left if step.said[j][0] == name)
        left.remove(owner_of[k])
    phrase = _refilled(line.phrase(), {k: step.said[j][1].split() for k, j in owner_of.items()})
    return Phrase(phrase.words, [owner_of[owner] if owner >= 0 else -1 for owner in phrase.owners])


def _refilled(phrase: Phrase, fillers: dict[int, list[str]]) -> Phrase:
    """Other words for some slots; quotes and stops around them stay."""
    words: list[str] = []
    owners: list[int] = []
    last = {owner: at for at, owner in enumerate(phrase.owners)}
    started: set[int] = set()
    for at, (word, owner) in enumerate(zip(phrase.words, phrase.owners, strict=True)):
        if owner not in fillers:
            words.append(word)
            owners.append(owner)
            continue
        start, _, end = bare(word)
        if owner not in started:
            started.add(owner)
            filler = list(fillers[owner])
            filler[0] = start + filler[0]
            words += filler
            owners += [owner] * len(filler)
        if at == last[owner]:
            words[-1] += end
    return Phrase(words, owners)


def _spelled(phrase: Phrase) -> Phrase:
    """With a capital at the start, a stop at the end, and I."""
    words = ["I" if word == "i" else word for word in phrase.words]
    words[0] = words[0][:1].upper() + words[0][1:]
    if words[-1][-1] not in CLOSING:
        words[-1] += "."
    return Phrase(words, phrase.owners)
