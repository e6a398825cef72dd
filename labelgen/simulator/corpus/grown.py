"""A world grown from an annotated corpus: its users follow the corpus's dialogues, its assistant fails on them."""

from collections.abc import Sequence
from functools import lru_cache
from random import Random

from labelgen.data.label_set import LabelName, Sources
from labelgen.simulator.conversation import open_talk, pursue
from labelgen.simulator.corpus.index import index_of, meanings_of
from labelgen.simulator.corpus.scripts import Corpus, Script
from labelgen.simulator.corpus.skills import CorpusSkills
from labelgen.simulator.corpus.speech import CorpusSpeech
from labelgen.simulator.goals import Goal
from labelgen.simulator.meaning import GIVING_UP, INTENTS
from labelgen.simulator.options import WorldOptions
from labelgen.simulator.reactions import rate
from labelgen.simulator.recognizer import ears
from labelgen.simulator.setting import Setting
from labelgen.simulator.talk import Talk, aside
from labelgen.simulator.user import User

RIVALS = 2
_HEARD = 1000
"""So many of the corpus's most frequent words are what others are misheard as."""
_ASKED = 4
"""A script is followed by the one of so many users who comes back most often to what it is about."""


class GrownWorld:
    """scripts are drawn in an order of their own for each seed, each once before any comes again."""

    def __init__(self, corpus: Corpus) -> None:
        index = index_of(corpus.scripts)
        self.corpus = corpus
        self._speech = CorpusSpeech(index)
        hearing = ears(index.vocabulary[:_HEARD], RIVALS)
        self._setting = Setting(meanings_of(index), hearing, self._speech, CorpusSkills(index))

    def labels(self) -> Sources:
        """The corpus's label names by the simulated log's sources, and the intent by which users give up."""
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
        """The number of the user who follows the script."""
        first = next(line.intents[0] for line in script.lines if line.intents)
        about = first.partition(".")[0]
        asked = [int(rng.random() * users) for _ in range(_ASKED)]
        return max(asked, key=lambda number: _habit(seed, number, about))

    def retell(self, script: Script, user: User, options: WorldOptions, rng: Random) -> Talk:
        """Let the user follow the script. A goal that is given up is not taken up again, and what the corpus's user says
        without a goal is said only where it follows what it followed in the corpus."""
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

    def _explore(self, talk: Talk, goal: Goal) -> None:
        """Ask for something else of the kind before the step itself."""
        other = self._speech.other(goal.steps[0], talk.rng)
        if other is not None:
            pursue(talk, goal, other)


def source_of(source: str) -> str:
    """The source of dialogues that were grown from those of a source."""
    return f"simulated/{source}"


def _goals(script: Script) -> Sequence[Goal]:
    thanked = any("thank" in line.request.lower() for line in script.lines)
    goals = [Goal("", [], thanked=thanked) for _ in range(script.goals)]
    for line in script.lines:
        if line.goal is not None:
            goals[line.goal].steps.append(line.step())
    return goals


@lru_cache(maxsize=8)
def _order(seed: int, turn: int, count: int) -> Sequence[int]:
    """The order in which scripts are drawn for the (turn+1)-th time."""
    order = list(range(count))
    Random(f"order/{seed}/{turn}").shuffle(order)
    return order


@lru_cache(maxsize=65536)
def _habit(seed: int, number: int, about: str) -> float:
    return Random(f"habit/{seed}/{number}/{about}").expovariate(1.0)
