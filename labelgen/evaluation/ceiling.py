"""How far anyone can get on these annotations: a score beyond the ceiling is noise.

Two figures, against the same left-out references as everyone is judged by: that of an annotator who always says what most
of all people say, which nobody who knows the dialogue alone can hope to pass, and that of one more annotator. The former
knows votes that its references are made of, and so is a little high; with three people it is 1 by construction, and left out. Source: Nili et al. 2014, "A Toolbox for
Representational Similarity Analysis" (upper and lower noise ceiling)."""

from collections import Counter
from collections.abc import Iterable, Sequence

from labelgen.agreement.vote import CONSENSUS
from labelgen.data.dialogue import Dialogue
from labelgen.evaluation.question import Question, answered
from labelgen.evaluation.trials import OTHERS, Protocol, Setting, Trial
from labelgen.metrics.sets import same

CEILING = "noise ceiling"
"""The row of who always says what all people together say. Where they are tied nothing is said, and that is a miss."""


def no_ceiling(trials: Iterable[Trial]) -> str | None:
    """Why there is no ceiling: where two others agree, most of three say the same, so whoever says what most say is right by
    construction. None where every reference is made of more."""
    votes = {trial.dialogue: trial.others for trial in trials}
    three = sum(others < OTHERS for others in votes.values())
    if not three:
        return None
    return (
        f"no noise ceiling: in {three:,} of {len(votes):,} dialogues three people answered, and there who says what most of them say "
        "is right by construction; --min-annotators 4 leaves these out"
    )


class Ceiling:
    """Sums over dialogues, for each question; each dialogue is to hold the consensus of all its people."""

    def __init__(self, questions: Sequence[Question], setting: Setting) -> None:
        self.questions = questions
        self.setting = setting
        self._counts: Counter[tuple[str, str]] = Counter()
        self._people: Counter[tuple[str, str, str]] = Counter()

    def add(self, dialogue: Dialogue) -> None:
        protocol = Protocol([dialogue], self.questions, self.setting)
        for question in self.questions:
            of_all = answered(dialogue.annotation(CONSENSUS), question)
            for trial in protocol.trials(question).trials:
                for at, wanted in trial.reference.items():
                    self._counts[question.name, "fields"] += 1
                    if trial.others >= OTHERS:
                        self._counts[question.name, "of several"] += 1
                        self._counts[question.name, "most"] += at in of_all and same(of_all[at], wanted)
                    own = trial.person or {}
                    right = at in own and same(own[at], wanted)
                    self._counts[question.name, "one"] += right
                    self._people[question.name, trial.who, "fields"] += 1
                    self._people[question.name, trial.who, "right"] += right

    def of(self, question: str) -> tuple[float | None, float] | None:
        """Share of fields whose whole answer is right: of who says what most say, and of one more annotator; None where
        nothing could be judged. The former on dialogues that four people or more answered, None where there are none."""
        fields = self._counts[question, "fields"]
        if not fields:
            return None
        several = self._counts[question, "of several"]
        most = self._counts[question, "most"] / several if several else None
        return most, self._counts[question, "one"] / fields

    def person(self, question: str, who: str) -> tuple[int, int]:
        """How many answers of this annotator were judged against the consensus of the others, and how many are right."""
        return self._people[question, who, "fields"], self._people[question, who, "right"]
