"""Topics of requests: groups by meaning, each with a name of its own words, its size, the share that failed, and whether it is new.

A name has the words that set the group apart, each used by several users. Source: Grootendorst 2022, "BERTopic: Neural topic modeling with a
class-based TF-IDF procedure"; here a word counts once for a user."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from labelgen.confidence.prediction_powered import interval_of
from labelgen.confidence.resampling import holm
from labelgen.feedback.cues import plain
from labelgen.metrics.results import Interval
from labelgen.requests.asked import AskedText, rate_over_users

Floats = NDArray[np.float32]
Groups = NDArray[np.int64]

NEIGHBORS = 15
_ROWS_AT_ONCE = 1024


def group(vectors: Floats, neighbors: int = NEIGHBORS, seed: int = 0) -> Groups:
    """The group of each text, 0 for the largest. vectors: [texts, width], of length 1. The same vectors get the same groups."""
    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    of_node = communities(neighbor_graph(centered(vectors), neighbors), seed)
    sizes = np.bincount(of_node)
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[of_node]


def centered(vectors: Floats) -> Floats:
    """Vectors of length 1 without what all of them have in common."""
    moved = vectors - vectors.mean(axis=0)
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    scaled: Floats = moved / np.where(length > 0, length, 1.0).astype(np.float32)
    return scaled


def neighbor_graph(vectors: Floats, neighbors: int) -> Any:
    """A symmetric sparse matrix [texts, texts]: of neighbors, how many neighbors the two share, themselves included."""
    from scipy import sparse

    count = len(vectors)
    most = min(neighbors, count - 1)
    nearest = np.empty((count, most), np.int64)
    for start in range(0, count, _ROWS_AT_ONCE):
        near = vectors[start : start + _ROWS_AT_ONCE] @ vectors.T
        near[np.arange(len(near)), start + np.arange(len(near))] = -np.inf
        nearest[start : start + _ROWS_AT_ONCE] = np.argpartition(-near, most - 1, axis=1)[:, :most]
    rows = np.repeat(np.arange(count), most)
    links = sparse.csr_matrix((np.ones(rows.size), (rows, nearest.ravel())), shape=(count, count))
    linked = links.maximum(links.T) + sparse.identity(count, format="csr")
    shared = (linked @ linked).multiply(linked).tocsr()
    shared.setdiag(0.0)
    shared.eliminate_zeros()
    return shared


def communities(graph: Any, seed: int = 0) -> Groups:
    """The community of each node of a symmetric sparse matrix of weights, by the method of Louvain."""
    import networkx

    of_node = np.zeros(graph.shape[0], np.int64)
    for k, nodes in enumerate(
        networkx.community.louvain_communities(networkx.from_scipy_sparse_array(graph), seed=seed)
    ):
        of_node[list(nodes)] = k
    return of_node


MOST_GROUPED = 3000
"""Texts from which groups are made; others join the nearest group."""
_TERMS, _NAME_TERMS, _EXAMPLES = 8, 3, 3
_WORD = r"(?u)\b\w[\w']*\b"

Encode = Callable[[Sequence[str]], Floats]
"""Texts to vectors of length 1, [texts, width]."""


class Topic(Struct, frozen=True, kw_only=True):
    """A group of requests.

    name: words joined by `_`. terms: words that set it apart, the strongest first. requests, users: its size; share: of all requests.
    failed: share of the judged ones that failed, with its interval over users. excess: failures above those that as many judged requests
    have in the whole log. before, since: users on either side of the date. p_value: of no change of its share of users, adjusted over all
    topics (Holm). examples: its most typical requests."""

    name: str
    terms: tuple[str, ...]
    requests: int
    users: int
    share: float
    judged: int
    failed: Interval
    excess: float
    before: int | None = None
    since: int | None = None
    p_value: float | None = None
    examples: tuple[str, ...] = ()

    def news(self, users_before: int, users_since: int) -> str:
        """How its share of users changed at the date: `new` where nobody asked before, else `more`, `less`, or nothing that is certain."""
        if self.p_value is None or self.p_value > 0.05:
            return ""
        if not self.before:
            return "new"
        return "more" if (self.since or 0) * users_before > self.before * users_since else "less"


class Topics(Struct, frozen=True, kw_only=True):
    """Topics, those with most failures above the log's share first. failed: share of all. small: requests in groups of too few users.
    date: that splits the log, on which users_before and users_since came on either side."""

    topics: tuple[Topic, ...]
    requests: int
    users: int
    failed: Interval
    small: int
    date: str | None = None
    users_before: int = 0
    users_since: int = 0


@dataclass(frozen=True, slots=True)
class GroupedRequests:
    """Requests with the group of each. vectors: centered, [requests, width]."""

    asked: Sequence[AskedText]
    groups: Groups
    vectors: Floats


def group_requests(asked: Sequence[AskedText], encode: Encode, seed: int = 0) -> GroupedRequests:
    """Requests in groups by meaning. Requests with the same words are one text."""
    texts: dict[str, int] = {}
    places = [texts.setdefault(plain(one.text), len(texts)) for one in asked]
    vectors = centered(encode(list(texts)))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(texts))[:MOST_GROUPED])
    groups = group(vectors[chosen], seed=seed)
    if len(chosen) < len(texts):
        means = np.stack([vectors[chosen[groups == k]].mean(axis=0) for k in range(groups.max() + 1)])
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        everywhere = (vectors @ means.T).argmax(axis=1)
        everywhere[chosen] = groups
        groups = everywhere
    return GroupedRequests(asked, groups[places], vectors[places])


def topics_of(grouped: GroupedRequests, least_users: int, level: float = 0.95, date: str | None = None) -> Topics:
    """The topics of grouped requests. least_users: of a topic, and of each word in its name."""
    asked = grouped.asked
    members = [np.flatnonzero(grouped.groups == k).tolist() for k in range(int(grouped.groups.max(initial=-1)) + 1)]
    users = [len({asked[n].user for n in of}) for of in members]
    kept = [of for of, count in zip(members, users, strict=True) if count >= least_users]
    judged = [one for one in asked if one.failed is not None]
    base = sum(one.failed or 0.0 for one in judged) / max(1, len(judged))
    terms = class_terms([[asked[n] for n in of] for of in kept], least_users)
    sides = [_sides([asked[n] for n in of], date) for of in (range(len(asked)), *kept)]
    p_values = _changes(sides) if date else [None] * len(kept)
    topics = []
    for of, words, (before, since), p_value in zip(kept, terms, sides[1:], p_values, strict=True):
        ones = [asked[n] for n in of]
        of_judged = [one for one in ones if one.failed is not None]
        topics.append(
            Topic(
                name=_name(words),
                terms=tuple(words),
                requests=len(of),
                users=len({one.user for one in ones}),
                share=len(of) / len(asked),
                judged=len(of_judged),
                failed=_failed(of_judged, level),
                excess=sum((one.failed or 0.0) - base for one in of_judged),
                before=before if date else None,
                since=since if date else None,
                p_value=p_value,
                examples=_examples(grouped, of),
            )
        )
    topics.sort(key=lambda topic: (-topic.excess, -topic.requests))
    return Topics(
        topics=tuple(_distinct_names(topics)),
        requests=len(asked),
        users=len({one.user for one in asked}),
        failed=_failed(judged, level),
        small=len(asked) - sum(map(len, kept)),
        date=date,
        users_before=sides[0][0],
        users_since=sides[0][1],
    )


def class_terms(groups: Sequence[Sequence[AskedText]], least_users: int) -> list[list[str]]:
    """Words and pairs of words that set each group apart, the strongest first, each used there by so many users."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

    texts, owners = [], []
    for k, ones in enumerate(groups):
        of_user: dict[str, list[str]] = {}
        for one in ones:
            of_user.setdefault(one.user, []).append(plain(one.text))
        texts += [" \n ".join(dict.fromkeys(requests)) for requests in of_user.values()]
        owners += [k] * len(of_user)
    if not any(re.search(r"\w", text) for text in texts):
        return [[] for _ in groups]
    vectorizer = CountVectorizer(ngram_range=(1, 2), token_pattern=_WORD, binary=True, dtype=np.float64)
    counts = vectorizer.fit_transform(texts)
    names = vectorizer.get_feature_names_out()
    ends = [(name.split()[0], name.split()[-1]) for name in names]
    little = np.array([not ENGLISH_STOP_WORDS.isdisjoint(pair) or "'" in "".join(pair) for pair in ends])
    owner = np.array(owners)
    used = np.stack([np.asarray(counts[owner == k].sum(axis=0)).ravel() for k in range(len(groups))])
    share = used / np.maximum(1, np.bincount(owner, minlength=len(groups)))[:, None]
    weight = share * np.log1p(share.mean() * len(names) / np.maximum(share.sum(axis=0), 1e-12))
    weight[(used < least_users) | little] = 0.0
    order = np.argsort(-weight, axis=1, kind="stable")
    return [
        _apart([str(names[j]) for j in row[: 4 * _TERMS] if of[j] > 0]) for row, of in zip(order, weight, strict=True)
    ]


def _apart(terms: Sequence[str]) -> list[str]:
    """Terms that share no word with a stronger one."""
    kept: list[str] = []
    for term in terms:
        if set(term.split()).isdisjoint(word for one in kept for word in one.split()):
            kept.append(term)
    return kept[:_TERMS]


def _name(terms: Sequence[str]) -> str:
    return "_".join(word for term in terms[:_NAME_TERMS] for word in re.split(r"\W+", term) if word) or "unnamed"


def _distinct_names(topics: Sequence[Topic]) -> list[Topic]:
    """The topics, where several have one name with a number."""
    seen: Counter[str] = Counter()
    out = []
    for topic in topics:
        seen[topic.name] += 1
        out.append(topic if seen[topic.name] == 1 else replace(topic, name=f"{topic.name}_{seen[topic.name]}"))
    return out


def _examples(grouped: GroupedRequests, members: Sequence[int]) -> tuple[str, ...]:
    """The requests nearest to the mean of a group, each wording once."""
    near = grouped.vectors[list(members)] @ grouped.vectors[list(members)].mean(axis=0)
    ranked = (" ".join(grouped.asked[members[k]].text.split()) for k in np.argsort(-near, kind="stable"))
    return tuple({plain(text): text for text in reversed(list(ranked))}.values())[::-1][:_EXAMPLES]


def _failed(judged: Sequence[AskedText], level: float) -> Interval:
    estimate = rate_over_users([one.failed or 0.0 for one in judged], [one.user for one in judged])
    if estimate is None and judged:
        return Interval(float(np.mean([one.failed or 0.0 for one in judged])))
    return interval_of(estimate, level)


def _sides(ones: Sequence[AskedText], date: str | None) -> tuple[int, int]:
    """Users before the date, and since it."""
    if date is None:
        return 0, 0
    dated = [(one.user, one.start[: len(date)] >= date) for one in ones if one.start]
    return len({user for user, late in dated if not late}), len({user for user, late in dated if late})


def _changes(sides: Sequence[tuple[int, int]]) -> list[float]:
    """Adjusted p-values of no change in each topic's share of users, by Fisher's exact test. sides: of all requests, then of each topic."""
    from scipy.stats import fisher_exact

    (before, since), *topics = sides
    return holm([float(fisher_exact([[b, before - b], [s, since - s]]).pvalue) for b, s in topics])
