"""The steps about requests that fail: topics of requests or goals that nobody named, and rewrites from what users ask next."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from labelgen.base.errors import InputError, UsageError
from labelgen.base.options import Count, Probability
from labelgen.base.terminal import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import ANY_SOURCE, LabelName, Sources
from labelgen.data.labels import plain_words
from labelgen.requests.asked import AskedText, Kind, asked_in
from labelgen.requests.rewrites import Rewrite, mine, walks_of
from labelgen.requests.topics import Topics, group_requests, topics_of
from labelgen.steps.shared import place_of

if TYPE_CHECKING:
    from labelgen.requests.topics import Floats

_AT_ONCE = 512
"""Texts that are encoded between two reports of progress."""


@dataclass(frozen=True, kw_only=True)
class DiscoverOptions:
    """Discover topics: group requests or goals without intents by what they mean, name each group by its own words, and give its size, the
    share that failed, and whether it is new. Those with most failures above the log's share come first."""

    unit: Kind = "request"
    """what is grouped: each request, with its quality, or the first request of each goal, with its outcome"""
    annotator: Annotated[str | None, "NAME"] = None
    """annotator whose outcomes and quality say what failed; targets from feedback without a value"""
    with_intents: bool = False
    """requests and goals that have intents too"""
    since: Annotated[str | None, "DATE"] = None
    """date, such as 2026-02-01, from which requests count as new"""
    least_users: Count = 5
    """users that a topic needs, and each word of its name, so that no name has what one person said"""
    encoder: Annotated[Path | None, "FOLDER"] = None
    """folder of a text encoder; the offline encoder without a value"""
    confidence: Probability = 0.95
    """confidence level of each interval by itself"""

    def check(self) -> None:
        """Raises UsageError for a date that is none."""
        try:
            date.fromisoformat(self.since or "2026-01-01")
        except ValueError as error:
            raise UsageError(f"{self.since!r} is no date", "--since", "write it as 2026-02-01") from error


@dataclass(frozen=True, slots=True)
class Discovered:
    """topics: what was discovered. labels: the names of the topics as intents of each source, with their words as descriptions. left_out:
    requests or goals with intents."""

    topics: Topics
    labels: Sources
    left_out: int


def discover(dialogues: Iterable[Dialogue], options: DiscoverOptions) -> Discovered:
    """The topics of a log.

    Raises InputError where nothing can be grouped, and for `since` where no dialogue has a start; UsageError for an encoder that cannot be
    loaded."""
    from labelgen.verdicts.reaction import TextVectors, required_weights

    sources: dict[str, str] = {}

    def read() -> Iterable[Dialogue]:
        for dialogue in dialogues:
            sources[dialogue.id] = dialogue.source or ANY_SOURCE
            yield dialogue

    every = list(asked_in(read(), options.unit, options.annotator))
    asked = every if options.with_intents else [one for one in every if not one.intents]
    _check(asked, len(every), place_of(dialogues), options)
    encode = TextVectors(options.encoder or required_weights("labelgen discover"))

    def vectors(texts: Sequence[str]) -> "Floats":
        parts = [texts[k : k + _AT_ONCE] for k in range(0, len(texts), _AT_ONCE)]
        return np.concatenate([encode(part) for part in progress(parts, "discover", "batches of texts", len(parts))])

    grouped = group_requests(asked, vectors)
    topics = topics_of(grouped, options.least_users, options.confidence, options.since)
    names = tuple(LabelName(one.name, ", ".join(one.terms)) for one in topics.topics)
    labels = {source: {"intents": names} for source in sorted({sources[one.place[0]] for one in asked})}
    return Discovered(topics, labels, len(every) - len(asked))


def _check(asked: list[AskedText], every: int, where: str, options: DiscoverOptions) -> None:
    if not asked:
        what = f"all {every:,} have intents" if every else f"the log has no {options.unit} with words"
        raise InputError(f"nothing can be grouped: {what}", where, "--with-intents groups those with intents too")
    if options.since and not any(one.start for one in asked):
        raise InputError("no dialogue has a start", where, "leave out --since, or map the column of the start")
    if options.annotator and all(one.failed is None for one in asked):
        task = "quality of turns" if options.unit == "request" else "outcome of goals"
        hint = f"name another annotator by --annotator, or --unit {'goal' if options.unit == 'request' else 'request'}"
        raise InputError(f"{options.annotator} judged no {task} of these", where, hint)


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
