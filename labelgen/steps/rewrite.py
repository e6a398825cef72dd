"""The step of mining: rewrites of requests that fail, from what users ask next."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelgen.base.errors import InputError
from labelgen.base.options import Count, Probability
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import plain_words
from labelgen.requests.rewrites import Rewrite, mine, walks_of
from labelgen.steps.changed import place_of

COLUMNS = (
    *("request", "rewrite", "requests", "users", "moved", "users_after", "reached"),
    *(f"{of}{bound}" for of in ("before", "after", "change") for bound in ("", "_low", "_high")),
)
"""Columns of the table of rewrites."""


@dataclass(frozen=True, kw_only=True)
class MineOptions:
    """Mine rewrites of requests that fail: where users were not served and asked in other words, and which words were served, pooled over
    users (an absorbing Markov chain). Needs verdicts on turns: targets from feedback, or an annotator's quality."""

    annotator: Annotated[str | None, "NAME"] = None
    """annotator whose quality of turns says what was served; targets from feedback without a value"""
    least_users: Count = 5
    """users that a request needs, and its rewrite, so that no row has what one person said"""
    blocklist: Annotated[Path | None, "FILE"] = None
    """file of words and phrases, one a line, that no request or rewrite may have"""
    confidence: Probability = 0.95
    """confidence level of each interval by itself; a rewrite works better with this confidence"""


@dataclass(frozen=True, slots=True)
class Mined:
    """rewrites: those of the most frequent requests first. requests, unjudged: of the log, with words; forms: different ones."""

    rewrites: list[Rewrite]
    requests: int
    unjudged: int
    forms: int

    def table(self) -> str:
        """The rewrites as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in self.rewrites:
            rates = (one.before, one.after, one.change)
            numbers = (x for rate in rates for x in (rate.value, rate.low, rate.high))
            counts = (one.requests, one.users, one.moved, one.users_after)
            writer.writerow([one.request, one.rewrite, *counts, *(f"{x or 0.0:.4f}" for x in (one.reached, *numbers))])
        return text.getvalue()


def mine_rewrites(dialogues: Iterable[Dialogue], options: MineOptions) -> Mined:
    """The rewrites of a log. Raises InputError where no turn is judged."""
    blocked = options.blocklist.read_text(encoding="utf-8").splitlines() if options.blocklist else []
    walks = walks_of(dialogues, options.annotator)
    if not walks.form:
        what = f"nothing says which of {walks.unjudged:,} requests were served"
        hint = "run labelgen feedback aggregate first, or name an annotator of quality by --annotator"
        raise InputError(what, place_of(dialogues), hint)
    words = [plain_words(line) for line in blocked if plain_words(line)]
    rewrites = mine(walks, options.least_users, words, options.confidence)
    return Mined(rewrites, len(walks.form) + walks.unjudged, walks.unjudged, len(walks.forms))
