"""Topics: groups do not mix what is far apart, names have no word of too few people, and shares are those of a slow count."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from labelgen.requests.asked import AskedText, asked_in
from labelgen.requests.topics import Floats, GroupedRequests, Groups, communities, group, group_requests, topics_of
from labelgen.simulator.log import simulate

THEMES = (
    "order a pizza for tonight",
    "translate the word bread",
    "transfer the money to me",
    "start the washing machine",
)


def asked(text: str, user: str, failed: float | None = None, start: str | None = None) -> AskedText:
    return AskedText(text, (f"dialogue {user}", 0), user, start, failed, False)


def words_as_vectors(texts: Sequence[str]) -> Floats:
    """Bags of words of length 1."""
    words = sorted({word for text in texts for word in text.split()})
    counts = np.array([[text.split().count(word) for word in words] for text in texts], np.float32)
    return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float32)


def themes(users: int) -> list[AskedText]:
    """Requests of four themes by so many users, half of them since February; only the second theme fails, and the fourth is new."""
    return [
        asked(f"{text} number {user}", f"u{user}", float(k == 1), f"2026-0{1 + user % 2}-03")
        for k, text in enumerate(THEMES)
        for user in range(users)
        if k < 3 or user % 2
    ]


@given(clusters=st.integers(2, 5), size=st.integers(20, 40), seed=st.integers(0, 99))
def test_groups_of_separate_clusters_mix_none(clusters: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(clusters), size)
    vectors = np.eye(clusters, 16)[true] + 0.02 * rng.standard_normal((len(true), 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = group(vectors)
    assert all(len(set(true[found == one])) == 1 for one in set(found))
    sizes = np.bincount(found)
    assert (np.diff(sizes) <= 0).all()
    assert (group(vectors) == found).all()


@given(nodes=st.integers(1, 25), density=st.floats(0.0, 0.4), seed=st.integers(0, 99))
def test_communities_are_connected_parts_and_no_worse_than_single_nodes(nodes: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.integers(1, 4, (nodes, nodes)) * (rng.random((nodes, nodes)) < density), 1).astype(float)
    weights = upper + upper.T
    found = communities(sparse.csr_matrix(weights), seed)
    part = connected_components(weights)[1]
    assert all(len(set(part[found == one])) == 1 for one in set(found))
    assert modularity(weights, found) >= modularity(weights, np.arange(nodes)) - 1e-9


def modularity(weights: NDArray[np.float64], found: Groups) -> float:
    total, degrees = weights.sum() or 1.0, weights.sum(axis=0)
    same = found[:, None] == found
    return float(((weights - np.outer(degrees, degrees) / total) * same).sum() / total)


def test_topic_that_fails_is_first_and_the_new_one_is_named_so() -> None:
    found = topics_of(group_requests(themes(40), words_as_vectors), 5, date="2026-02-01")
    first = found.topics[0]
    assert "translate" in first.name
    assert first.failed.value == 1.0
    assert first.excess == pytest.approx(40 * (1 - 40 / 140))
    assert sum(one.excess for one in found.topics) == pytest.approx(0.0)
    news = {
        text: {one.news(found.users_before, found.users_since) for one in found.topics if text.split()[0] in one.name}
        for text in THEMES
    }
    assert news[THEMES[3]] == {"new"}
    assert news[THEMES[0]] == news[THEMES[1]] == {""}


def test_names_have_no_word_of_too_few_users() -> None:
    ones = [asked(f"{text} for {'alice' if user < 4 else 'us'}", f"u{user}") for text in THEMES for user in range(30)]
    found = topics_of(GroupedRequests(ones, np.repeat(np.arange(4), 30), np.ones((120, 1), np.float32)), 5)
    assert len({one.name for one in found.topics}) == 4
    assert not any("alice" in term for one in found.topics for term in one.terms)


def test_groups_of_too_few_users_are_counted_and_not_shown() -> None:
    ones = [asked("order a pizza", f"u{user % 4}") for user in range(40)]
    found = topics_of(GroupedRequests(ones, np.zeros(40, np.int64), np.ones((40, 1), np.float32)), 5)
    assert (found.topics, found.small, found.requests) == ((), 40, 40)


def test_requests_of_a_log_are_judged_as_their_annotator_says() -> None:
    log = list(simulate(40, 3))
    ones = {one.place: one for one in asked_in(log, "request", "truth")}
    for dialogue in log:
        truth = dialogue.annotation("truth")
        for label in truth.labels if truth else ():
            if label.task == "quality" and (one := ones.get((dialogue.id, getattr(label.at, "turn", -1)))):
                assert one.failed == float(label.name == "bad")
    goals = list(asked_in(log, "goal", "truth"))
    labels = [x for d in log for x in (d.annotation("truth") or d).labels if x.task == "outcome"]  # type: ignore[union-attr]
    assert len(goals) == len(labels)
    assert sum(one.failed or 0.0 for one in goals) == sum(x.name == "failure" for x in labels)
