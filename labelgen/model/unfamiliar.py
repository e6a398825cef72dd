"""What in a log a model does not know: values of features that it was not trained on, labels of others that it cannot give.

Neither stops it: a value that was never seen is read as `unseen`, for which the model has a state of its own, and labels of
others are not read at all. But where there is much of either, the log is not of the kind that the model was made for."""

from collections import Counter
from collections.abc import Iterable

from labelgen.data.dialogue import Dialogue
from labelgen.features.features import categories_of
from labelgen.model.label_model import LabelModel


class Unfamiliar:
    """Looks through dialogues for one model."""

    def __init__(self, model: LabelModel) -> None:
        self._values = {c.name: frozenset(c.values) for c in model.features.categories}
        self._names = {name: frozenset(task.index) for name, task in model.tasks.items()}

    def __call__(self, dialogues: Iterable[Dialogue]) -> tuple[Counter[str], Counter[str]]:
        """How many turns have an unseen value, by feature; how many labels have an unknown name, by task. Features and tasks
        that the model does not have are left out."""
        unseen: Counter[str] = Counter()
        unknown: Counter[str] = Counter()
        for dialogue in dialogues:
            for turn in dialogue.turns:
                for name, value in dict(categories_of(dialogue, turn)).items():
                    if name in self._values and value not in self._values[name]:
                        unseen[name] += 1
            for annotation in dialogue.annotations:
                for label in annotation.labels:
                    if label.task in self._names and label.name not in self._names[label.task]:
                        unknown[label.task] += 1
        return unseen, unknown
