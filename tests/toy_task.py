"""A task plug-in in one module (is a request polite?), and one entry point of the group `labelgen.tasks`."""

from labelgen.data.labels import AtTurn, Target
from labelgen.nn.losses import exclusive
from labelgen.tasks.exclusive import exclusive_label, exclusive_rows, softmax_rows
from labelgen.tasks.order import OrderHead
from labelgen.tasks.task import Task


class Politeness(Task):
    name = "politeness"
    units = ("turn",)
    names = ("polite", "plain")
    metrics = ("accuracy", "macro_f1")

    def head(self, widths):
        return OrderHead(widths.dialogue)

    def encode(self, targets, layout):
        rows: list[list[Target]] = [[] for _ in range(sum(layout.turns))]
        for b, own in enumerate(targets):
            for target in own:
                rows[layout.turn(b, target.at.turn)].append(target)
        return exclusive_rows(rows, self.index)

    def loss(self, out, target):
        return exclusive(out, target)

    def decode(self, out, layout):
        rows = softmax_rows(out)
        return tuple(
            tuple(exclusive_label(self.name, AtTurn(t), self.names, rows[layout.turn(b, t)]) for t in range(count))
            for b, count in enumerate(layout.turns)
        )
