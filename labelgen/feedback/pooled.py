"""The method that is learnt from a log hears, of every turn, what the log as a whole tells of it: other users (others.py)
and the assistant's doubt (doubt.py)."""

from collections.abc import Callable, Iterable, Iterator

from labelgen.feedback.doubt import Doubt
from labelgen.feedback.fitted import Fitted
from labelgen.feedback.items import Item
from labelgen.feedback.others import Others
from labelgen.feedback.posterior import Method

Learn = Callable[[Iterable[Item]], Fitted]


def learn_pooled(items: Callable[[], Iterable[Item]], learn: Learn) -> tuple[Fitted, Method]:
    """What is learnt of all kinds, these among them, and the method that hears them. Goes over the items four times: for
    the doubt, to learn without the others, to pool, and to learn with them."""
    doubt = Doubt(items())

    def doubted() -> Iterator[Item]:
        return map(doubt.heard, items())

    others = Others(doubted(), learn(doubted()))
    fitted = learn(map(others.heard, doubted()))
    return fitted, lambda item: fitted(others.heard(doubt.heard(item)))
