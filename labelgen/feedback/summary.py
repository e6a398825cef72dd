"""Summary of the signals of a log: votes by kind, how often other kinds agree, and the mean posterior."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import UNIT_OF, Target
from labelgen.feedback.items import items_of
from labelgen.feedback.posterior import judging
from labelgen.feedback.targets import VERDICTS, posterior_of

HEADS = ("unit", "signal", "vote", "items", "agree", "went well")


class SignalSummary:
    """Counts of votes on goals, turns and dialogues, added up dialogue by dialogue."""

    def __init__(self) -> None:
        # Items, votes of other kinds, those that are the same, items with a posterior, sum of the posteriors.
        self._sums: defaultdict[tuple[str, str, str], NDArray[np.float64]] = defaultdict(lambda: np.zeros(5))

    def add(
        self, dialogue: Dialogue, signals: Sequence[Signal], targets: Sequence[Target], annotator: str | None
    ) -> None:
        """Count the items of a dialogue. annotator: whose goals, where it has them."""
        good = {target.at: posterior_of(target) for target in targets if target.task in VERDICTS}
        for item in items_of(dialogue, signals, annotator):
            votes = {(signal.kind, signal.vote) for signal in judging(item.signals)}
            posterior = good.get(item.at)
            for kind, vote in votes:
                others = [other_vote for other, other_vote in votes if other != kind]
                known = (0.0, 0.0) if posterior is None else (1.0, posterior)
                self._sums[UNIT_OF[type(item.at)], kind, vote] += (1, len(others), others.count(vote), *known)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A row for each unit, kind and vote, as HEADS. agree: share of the votes by other kinds on the same items that are the same."""
        for key, (items, others, same, known, good) in sorted(self._sums.items()):
            agree = f"{same / others:.0%}" if others else "-"
            yield (*key, f"{items:,.0f}", agree, f"{good / known:.0%}" if known else "-")
