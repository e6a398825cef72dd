"""The answer that needs no model: what the training part says most often."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, At, AtDialogue, AtGoal, AtTurn, Field, Label
from labelgen.evaluation.question import Question, answered
from labelgen.evaluation.trials import Setting, people_of

BASELINE = "baseline: majority class"


class Majority:
    """Counts the answers of a training part, by its people or by the annotator who is the reference.

    An exclusive task gets its most frequent name, with the shares of all names as distribution; a set of names the most
    frequent set; spans none; a division one goal of all turns. Ties go to the first by name."""

    def __init__(self, training: Iterable[Dialogue], questions: Sequence[Question], setting: Setting) -> None:
        self.questions = [q for q in questions if len(q.tasks) == 1]
        self.counts: dict[str, Counter[tuple[str, ...]]] = {q.name: Counter() for q in self.questions}
        for dialogue in training:
            reference = dialogue.annotation(setting.against)
            for annotation in (reference,) if reference is not None else people_of(dialogue, setting):
                for question in self.questions:
                    self.counts[question.name].update(
                        tuple(sorted({label.name for label in labels}))
                        for labels in answered(annotation, question).values()
                    )

    def annotate(self, dialogue: Dialogue, reference: str) -> Dialogue:
        """The dialogue with the baseline's annotation added; goals' labels stand at the goals of the reference."""
        labels: list[Label] = []
        none: list[Field] = []
        for question in self.questions:
            if not self.counts[question.name]:
                continue
            for at in _places(dialogue, question, reference):
                said = self._labels(dialogue, question, at)
                labels += said
                if not said:
                    none.append(Field(question.tasks[0], at))
        annotation = Annotation(BASELINE, "rule", tuple(labels), tuple(none))
        kept = tuple(a for a in dialogue.annotations if a.annotator != BASELINE)
        return replace(dialogue, annotations=(*kept, annotation))

    def _labels(self, dialogue: Dialogue, question: Question, at: At) -> tuple[Label, ...]:
        counts = self.counts[question.name]
        task = question.tasks[0]
        if question.divides:
            name = min((name for names in counts for name in names), default=None)
            turns = tuple(range(len(dialogue.turns)))
            return (Label(task, AtGoal(turns), name),) if turns and name is not None else ()
        if question.unit == "span":
            return ()
        best = min(counts, key=lambda names: (-counts[names], names))
        if question.names is None:
            return tuple(Label(task, at, name) for name in best)
        total = sum(counts[(name,)] for name in question.names)
        if not best or not total:
            return ()
        shares = tuple((name, counts[(name,)] / total) for name in question.names)
        return (Label(task, at, best[0], dict(shares)[best[0]], None, shares),)


def _places(dialogue: Dialogue, question: Question, reference: str) -> list[At]:
    if question.scope is AtTurn:
        return [AtTurn(turn) for turn in range(len(dialogue.turns))]
    if question.scope is AtDialogue:
        return [AtDialogue()] if dialogue.turns else []
    return list(answered(dialogue.annotation(reference), question))
