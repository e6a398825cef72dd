"""World of a corpus: users follow the corpus's dialogues, and the assistant answers as there, with simulated failures."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

from labelgen.data.label_sets import LabelName, Sources
from labelgen.simulator.conversation import Talk, aside, open_talk, pursue, rate
from labelgen.simulator.grammar import CLOSING, Phrase, Template, bare, plain, say, write
from labelgen.simulator.language import speak
from labelgen.simulator.recognizer import ears
from labelgen.simulator.scripts import (
    CorpusIndex,
    Script,
    ScriptCorpus,
    ScriptLine,
    build_index,
    key_of,
    meanings_of,
    swap,
    words_of,
)
from labelgen.simulator.users import GoalStep, User, UserGoal
from labelgen.simulator.vocabulary import COMPLAINTS, GIVING_UP, INTENTS, lines, pick
from labelgen.simulator.world import World, WorldOptions

_ASK = lines("(Sorry, what|What|Which) {slot} (was that|did you say|)?\nSorry, I missed the {slot}.")
_OPEN = 50
"""Number of different entities from which a slot takes any words, misheard ones included."""
_TRIES = 4


class CorpusSkills:
    """Skills of the corpus's assistant."""

    def __init__(self, index: CorpusIndex) -> None:
        self._index = index
        self._known = {name: frozenset(words for words, _ in fillers) for name, fillers in index.fillers.items()}

    def domain(self, intent: str) -> str | None:
        """The service of an intent with a name like `Service.Intent`."""
        service, dot, _ = intent.partition(".")
        return service if dot else None

    def mistaken(self, step: GoalStep, intents: tuple[str, ...], user: User, rng: Random) -> str:
        """A response of the corpus to these intents."""
        candidates = self._index.by_intent[intents[0]]
        for _ in range(_TRIES):
            response = candidates[int(rng.random() * len(candidates))].response
            if response != step.response:
                break
        return response

    def missing_slot(
        self, step: GoalStep, frame: dict[str, str], missed: Collection[int], user: User, rng: Random
    ) -> str | None:
        """A missed slot half of the time; otherwise the assistant continues with a likely value."""
        return step.mentions[min(missed)][0] if missed and rng.random() < 0.5 else None

    def ask(self, slot: str, rng: Random) -> str:
        name = re.sub(r"([a-z])([A-Z])", r"\1 \2", slot.rpartition(".")[2]).replace("_", " ").lower()
        return speak(pick(_ASK, rng), {"slot": name}, rng).replace(" ?", "?")

    def done(self, step: GoalStep, frame: dict[str, str], rng: Random) -> str:
        """The corpus's response, with misunderstood values in place of the intended ones. If the response does not contain the value, the
        mistake is invisible."""
        text = step.response
        for k, (name, words) in enumerate(step.mentions):
            value = frame.get(step.slot_key(k)) or self.another(name, words, rng)
            if value != words:
                text = swap(text, (words, step.value(k)), value) or text
        return text

    def takes(self, slot: str, words: str) -> bool:
        known = self._known[slot]
        return len(known) >= _OPEN or words in known

    def another(self, slot: str, than: str, rng: Random) -> str:
        """Preferably one that shares a word with `than`, as in catalog confusions."""
        fillers = self._index.fillers[slot]
        parts = set(than.lower().split())
        chosen = "something else"
        for _ in range(_TRIES):
            words = fillers[int(rng.random() * len(fillers))][0]
            if words != than:
                chosen = words
                if parts & set(words.lower().split()):
                    break
        return chosen

    def spoils(self, slot: str) -> bool:
        return False


_COMPLAINT, _FAILED = lines(COMPLAINTS)
_CORRECTION = lines("(no|no no|not that) (i said|i meant|) {value}\n(i said|i meant) {value}")
_ANSWER = lines("{value}\n(it's|make it) {value}\n{value} please")
_CARRIERS = frozenset(
    [
        "i",
        "i'd",
        "i'm",
        "i'll",
        "would",
        "like",
        "love",
        "want",
        "wish",
        "need",
        "to",
        "can",
        "could",
        "you",
        "will",
        "please",
        "hey",
        "hi",
        "hello",
        "okay",
        "ok",
        "well",
        "so",
        "also",
        "and",
        "alright",
        "yes",
        "yeah",
        "yep",
        "sure",
        "great",
        "good",
        "perfect",
        "thanks",
        "then",
        "just",
        "help",
        "me",
        "am",
        "now",
        "actually",
    ]
)
"""Words at the start of a request that can be dropped."""
_CANDIDATES = 6
_TELLING = 3
"""Minimum length of a value that identifies itself in a response."""


class CorpusSpeech:
    """Speech of the corpus's users, varied where they repeat a request."""

    def __init__(self, index: CorpusIndex) -> None:
        self._index = index

    def written(self, text: str) -> str:
        """With capital and punctuation if the corpus has them."""
        return _spelled(plain(text)).text() if self._index.capitals else text

    def request(self, step: GoalStep, user: User, rng: Random) -> Phrase:
        """The corpus's own words."""
        assert step.words is not None
        return step.words

    def again(self, step: GoalStep, user: User, rng: Random) -> Phrase:
        """Rephrased like another dialogue of the corpus with the same slots; or without opening words; or with a please."""
        phrase = self.request(step, user, rng)
        kind = rng.random()
        rephrased = self._retold(step, phrase, rng) if kind < 0.4 else None
        if rephrased is None and kind < 0.75:
            rephrased = self._shorter(phrase)
        return rephrased or self._polite(phrase)

    def complaint(self, phrase: Phrase, nothing_happened: bool, rng: Random) -> Phrase:
        return plain(self.written(write(_FAILED if nothing_happened else _COMPLAINT, {}, rng))) + phrase

    def correction(self, step: GoalStep, k: int, rng: Random) -> tuple[GoalStep, Phrase]:
        return self._only(step, k, _CORRECTION, rng)

    def answer_to(self, step: GoalStep, slot: str, value: str, rng: Random) -> tuple[GoalStep, Phrase]:
        return self._only(step, next(k for k, (name, _) in enumerate(step.mentions) if name == slot), _ANSWER, rng)

    def other(self, step: GoalStep, rng: Random) -> GoalStep | None:
        """The same request with another value. None if the response does not contain the value, because then no correct response is
        known."""
        if not step.mentions or step.words is None:
            return None
        k = int(rng.random() * len(step.mentions))
        name, old = step.mentions[k]
        choices = self._index.fillers[name]
        new, value = choices[int(rng.random() * len(choices))]
        response = swap(step.response, (old, step.value(k)), new) if len(old) >= _TELLING else None
        if new == old or response is None or [n for n, _ in step.mentions].count(name) > 1:
            return None
        slots = tuple((n, new if j == k else w) for j, (n, w) in enumerate(step.mentions))
        values = tuple(value if j == k else v for j, v in enumerate(step.values))
        phrase = _refilled(step.words, {k: new.split()})
        return GoalStep(step.intents, slots, {**step.frame, name: new}, step.manner, phrase, response, values)

    def _only(self, step: GoalStep, k: int, templates: tuple[Template, ...], rng: Random) -> tuple[GoalStep, Phrase]:
        phrase = say(pick(templates, rng), (("value", step.mentions[k][1]),), rng)
        alone = replace(step, mentions=(step.mentions[k],), values=(step.value(k),), manner="follow")
        return alone, _spelled(phrase) if self._index.capitals else phrase

    def _retold(self, step: GoalStep, phrase: Phrase, rng: Random) -> Phrase | None:
        """The most similar of a few requests of the corpus with the same slots, filled with the values of this step."""
        pool = self._index.alike.get(key_of(step.intents, (name for name, _ in step.mentions)), ())
        text = phrase.text()
        carrier = set(words_of(text))
        best: tuple[float, Phrase] | None = None
        for _ in range(min(_CANDIDATES, len(pool))):
            line = pool[int(rng.random() * len(pool))]
            words = set(words_of(line.request))
            shared = len(words & carrier) / len(words | carrier)
            if best is None or shared > best[0]:
                filled = _filled(line, step)
                best = best if filled.text() == text else (shared, filled)
        return None if best is None else best[1]

    def _shorter(self, phrase: Phrase) -> Phrase | None:
        words, owners = phrase.words, phrase.owners
        first = 0
        while first < len(words) - 1 and owners[first] < 0 and bare(words[first])[1].lower() in _CARRIERS:
            first += 1
        if first == 0:
            return None
        rest = Phrase(words[first:], owners[first:])
        return _spelled(rest) if self._index.capitals else rest

    def _polite(self, phrase: Phrase) -> Phrase:
        last = phrase.words[-1]
        start, core, end = bare(last)
        if "please" in words_of(phrase.text()):
            return plain("Again:" if self._index.capitals else "again") + phrase
        comma, stop = (",", end) if self._index.capitals else ("", "")
        body = Phrase([*phrase.words[:-1], start + core + comma], phrase.owners)
        return body + plain(f"please{stop}")


def _filled(line: ScriptLine, step: GoalStep) -> Phrase:
    """The line's words with the slots of the step, by name and order."""
    left = list(range(len(step.mentions)))
    owner_of: dict[int, int] = {}
    for k, (name, *_) in enumerate(line.slots):
        owner_of[k] = next(j for j in left if step.mentions[j][0] == name)
        left.remove(owner_of[k])
    phrase = _refilled(line.phrase(), {k: step.mentions[j][1].split() for k, j in owner_of.items()})
    return Phrase(phrase.words, [owner_of[owner] if owner >= 0 else -1 for owner in phrase.owners])


def _refilled(phrase: Phrase, fillers: dict[int, list[str]]) -> Phrase:
    """The phrase with other words for some slots; punctuation around them stays."""
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
    """With a capital at the start, a period at the end, and a capital I."""
    words = ["I" if word == "i" else word for word in phrase.words]
    words[0] = words[0][:1].upper() + words[0][1:]
    if words[-1][-1] not in CLOSING:
        words[-1] += "."
    return Phrase(words, phrase.owners)


RIVALS = 2
_HEARD = 1000
"""Number of most frequent words that others are misheard as."""
_CANDIDATE_USERS = 4
"""Number of candidate users for a script; the one with the strongest habit for its domain follows it."""


class CorpusWorld:
    """World of a corpus. Each seed has its own order of scripts; each script is used once before any is repeated."""

    def __init__(self, corpus: ScriptCorpus) -> None:
        index = build_index(corpus.scripts)
        self.corpus = corpus
        self._speech = CorpusSpeech(index)
        hearing = ears(index.vocabulary[:_HEARD], RIVALS)
        self._setting = World(meanings_of(index), hearing, self._speech, CorpusSkills(index))

    def labels(self) -> Sources:
        """Label names of the corpus by the sources of the simulated log, with the intent of giving up."""
        stop = LabelName(GIVING_UP, INTENTS[GIVING_UP])
        return {
            source_of(source): {
                task: tuple(sorted((*names, stop) if task == "intents" else names, key=lambda label: label.name))
                for task, names in tasks.items()
            }
            for source, tasks in self.corpus.labels.items()
        }

    def script(self, seed: int, index: int) -> Script:
        scripts = self.corpus.scripts
        return scripts[_order(seed, index // len(scripts), len(scripts))[index % len(scripts)]]

    def user(self, seed: int, script: Script, users: int, rng: Random) -> int:
        """Number of the user who follows the script."""
        first = next(line.intents[0] for line in script.lines if line.intents)
        about = first.partition(".")[0]
        candidates = [int(rng.random() * users) for _ in range(_CANDIDATE_USERS)]
        return max(candidates, key=lambda number: _habit(seed, number, about))

    def retell(self, script: Script, user: User, options: WorldOptions, rng: Random) -> Talk:
        """Simulate a dialogue that follows the script. A goal that was given up does not return, and turns without a goal are said only
        after the turn that they follow in the corpus."""
        talk = open_talk(user, self._setting, options, rng)
        goals = _goals(script)
        follows = True
        for line in script.lines:
            if talk.left:
                break
            if line.goal is None:
                if follows:
                    aside(talk, line.request, line.response)
                continue
            goal = goals[line.goal]
            if not goal.turns:
                talk.goals.append(goal)
            if rng.random() < options.explored and not goal.dropped:
                self._explore(talk, goal)
            if not goal.dropped and not talk.left:
                pursue(talk, goal, goal.steps.pop(0))
            follows = not goal.dropped
        rate(talk)
        return talk

    def _explore(self, talk: Talk, goal: UserGoal) -> None:
        """Request the same with another value before the step itself."""
        other = self._speech.other(goal.steps[0], talk.rng)
        if other is not None:
            pursue(talk, goal, other)


def source_of(source: str) -> str:
    """Source of simulated dialogues that follow those of a source."""
    return f"simulated/{source}"


def _goals(script: Script) -> Sequence[UserGoal]:
    thanked = any("thank" in line.request.lower() for line in script.lines)
    goals = [UserGoal("", [], thanked=thanked) for _ in range(script.goals)]
    for line in script.lines:
        if line.goal is not None:
            goals[line.goal].steps.append(line.step())
    return goals


@lru_cache(maxsize=8)
def _order(seed: int, turn: int, count: int) -> Sequence[int]:
    """Order of the scripts in pass number `turn`."""
    order = list(range(count))
    Random(f"order/{seed}/{turn}").shuffle(order)
    return order


@lru_cache(maxsize=65536)
def _habit(seed: int, number: int, about: str) -> float:
    return Random(f"habit/{seed}/{number}/{about}").expovariate(1.0)
