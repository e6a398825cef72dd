"""The method that is learned from a log hears, of every turn, what the log as a whole tells of it: other users (others.py)
and how sure the assistant was (assistant_confidence.py)."""

from collections.abc import Callable, Iterable, Iterator

from labelgen.feedback.em.assistant_confidence import Sureness
from labelgen.feedback.em.fitted import Fitted
from labelgen.feedback.em.others import Others
from labelgen.feedback.items import Item
from labelgen.feedback.posterior import Method

Learn = Callable[[Iterable[Item]], Fitted]


def learn_pooled(items: Callable[[], Iterable[Item]], learn: Learn) -> tuple[Fitted, Method]:
    """What is learned of all kinds, these among them, and the method that hears them. Goes over the items four times: for
    the confidences, to learn without the others, to pool, and to learn with them."""
    sureness = Sureness(items())

    def told() -> Iterator[Item]:
        return map(sureness.heard, items())

    others = Others(told(), learn(told()))
    fitted = learn(map(others.heard, told()))
    return fitted, lambda item: fitted(others.heard(sureness.heard(item)))
