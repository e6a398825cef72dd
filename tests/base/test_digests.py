"""A set of digests behaves as Python's set, in a fraction of its memory."""

from random import Random
from tracemalloc import get_traced_memory, start, stop

from hypothesis import given
from hypothesis import strategies as st

from labelgen.base.digests import DigestSet

U64 = st.integers(0, 2**64 - 1)
# Digests that want one slot, at the end of the table too.
CROWDED = st.integers(0, 4000).map(lambda k: (k << 40) | 1023)


@given(st.lists(U64 | CROWDED, max_size=50), st.integers(0, 3000))
def test_digest_set_equals_set(digests: list[int], more: int):
    rng = Random(more)
    ours, plain = DigestSet(), set()
    for digest in [*digests, *(rng.getrandbits(64) for _ in range(more)), *digests]:
        # 0 stands for an empty slot, so it counts as 1.
        assert (digest in ours) == ((digest or 1) in plain)
        ours.add(digest)
        plain.add(digest or 1)
        assert digest in ours
    assert len(ours) == len(plain)


def test_digest_set_takes_at_most_40_bytes_each_even_while_it_grows():
    rng = Random(0)
    start()
    ours = DigestSet()
    for _ in range(50_000):
        ours.add(rng.getrandbits(64))
    _, peak = get_traced_memory()
    stop()
    assert peak / len(ours) < 40
