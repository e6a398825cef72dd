"""The method that is learnt from a log hears, of every turn, what the log as a whole tells of it: other users (others.py)
and how sure the assistant was (sure.py)."""

from collections.abc import Callable, Iterable, Iterator

from labelgen.feedback.fitted import Fitted
from labelgen.feedback.items import Item
from labelgen.feedback.others import Others
from labelgen.feedback.posterior import Method
from labelgen.feedback.sure import Sureness

Learn = Callable[[Iterable[Item]], Fitted]


def learn_pooled(items: Callable[[], Iterable[Item]], learn: Learn) -> tuple[Fitted, Method]:
    """What is learnt of all kinds, these among them, and the method that hears them. Goes over the items four times: for
    the confidences, to learn without the others, to pool, and to learn with them."""
    sureness = Sureness(items())

    def told() -> Iterator[Item]:
        return map(sureness.heard, items())

    others = Others(told(), learn(told()))
    fitted = learn(map(others.heard, told()))
    return fitted, lambda item: fitted(others.heard(sureness.heard(item)))
