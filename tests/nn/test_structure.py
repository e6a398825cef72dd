"""Links and tags, against what is said of them and against counting all sequences."""

import math
from itertools import product
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgen.nn import structure
from labelgen.nn.structure import Biaffine, span_probability, tag_rows, tag_sums, viterbi


@settings(max_examples=15)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5))
def test_biaffine_in_blocks_equals_definition(length, reach, rows):
    """Of any dialogue, as far back as asked, in blocks of any size: each is the score of its pair of turns."""
    torch.manual_seed(length)
    turns, pairs = torch.randn(2, length, 16), Biaffine(16, 8)
    with torch.no_grad(), patch.object(structure, "_ROWS", rows):
        pairs.pair.add_(torch.randn(8, 8))
        scores = pairs(turns, reach)
        earlier = pairs.earlier(turns)
        whole = pairs.later(turns) @ pairs.pair @ earlier.transpose(1, 2) / 8**0.5 + pairs.bias(earlier).transpose(1, 2)
    assert scores.shape == (2, length, reach)
    for t in range(length):
        for back in range(min(t, reach)):
            torch.testing.assert_close(scores[:, t, back], whole[:, t, t - 1 - back])


def sequences(length: int, names: int) -> list[tuple[int, ...]]:
    """All well-formed ones: I of a name only behind B or I of that name."""
    return [
        tags
        for tags in product(range(1 + 2 * names), repeat=length)
        if all(t <= names or (i and tags[i - 1] in (t, t - names)) for i, t in enumerate(tags))
    ]


def spans_of(tags: tuple[int, ...], names: int) -> set[tuple[int, int, int]]:
    begins = [i for i, t in enumerate(tags) if 1 <= t <= names]
    ends = [next((j for j in range(i + 1, len(tags)) if tags[j] <= names), len(tags)) for i in begins]
    return {(i, end, tags[i] - 1) for i, end in zip(begins, ends, strict=True)}


@pytest.mark.parametrize("names", [1, 2, 3])
def test_viterbi_and_span_probability_equal_enumeration(names: int):
    torch.manual_seed(names)
    lengths = (1, 3, 2, 4 if names < 3 else 3, 1, 3)
    given = [3.0 * torch.randn(length, 1 + 2 * names, dtype=torch.double) for length in lengths]
    given[1][:, 1 + names :] = -1e4
    rows = tag_rows(torch.cat(given), lengths)
    assert [lengths[row] for row in rows.requests] == sorted(lengths, reverse=True)
    sums, best = tag_sums(rows, names), viterbi(rows, names)
    for k, row in enumerate(rows.requests):
        scores, length = given[row], lengths[row]
        weighed = {tags: sum(float(scores[i, t]) for i, t in enumerate(tags)) for tags in sequences(length, names)}
        whole = torch.tensor(list(weighed.values()), dtype=torch.double).logsumexp(0)
        assert float(sums.after[k, 0]) == pytest.approx(float(whole))
        assert float(sums.before[k, length]) == pytest.approx(float(whole))
        assert tuple(best[k]) == max(weighed, key=lambda tags: weighed[tags])
        for span in {span for tags in weighed for span in spans_of(tags, names)}:
            counted = sum(
                math.exp(score - float(whole)) for tags, score in weighed.items() if span in spans_of(tags, names)
            )
            assert span_probability(scores, sums, k, span) == pytest.approx(counted, abs=1e-9)
