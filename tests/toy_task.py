"""A task plug-in in one module (is a request polite?), and one entry point of the group `labelgen.tasks`."""

from labelgen.data.labels import AtTurn
from labelgen.tasks.exclusive import ExclusiveTask
from labelgen.tasks.goals import Goals
from labelgen.tasks.order import OrderHead


class Politeness(ExclusiveTask):
    name = "politeness"
    units = ("turn",)
    names = ("polite", "plain")
    metrics = ("accuracy", "macro_f1")

    def head(self, widths):
        return OrderHead(widths.dialogue)

    def places(self, layout):
        return [(b, AtTurn(t)) for b, count in enumerate(layout.turns) for t in range(count)]


class Segments(Goals):
    """Another division of dialogues."""

    name = "segments"
    names = ("segment",)
