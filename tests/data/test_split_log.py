"""Parts of a log share no user and no copies, and depend on nothing but seed, user and id."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.split import Seen, part_of, read_parts

PARTS = read_parts("train=0.8, valid=0.1,test=0.1")


def dialogue(identity: str, user: str | None = None, *requests: str) -> Dialogue:
    return Dialogue(id=identity, user=user, turns=tuple(Turn(request=text, response="") for text in requests))


@pytest.mark.parametrize(
    "text",
    ["", "train", "train=x", "train=0.5,test=0.6", "train=1.1,test=-0.1", "a=0.5,a=0.5", "../a=1", "=1", "a=nan"],
)
def test_read_parts_invalid_text_raises(text: str):
    with pytest.raises(UsageError, match="where: --parts"):
        read_parts(text)


@given(st.integers(0, 5), st.lists(st.tuples(st.text(max_size=4), st.none() | st.sampled_from("abc"))))
def test_part_of_user_is_independent_of_log(seed: int, log: list[tuple[str, str | None]]):
    parts: dict[str, set[str]] = {}
    for identity, user in log:
        if user is not None:
            parts.setdefault(user, set()).add(part_of(dialogue(identity, user), PARTS, seed))
    assert all(len(of) == 1 for of in parts.values())


def test_part_of_sizes_match_fractions_and_depend_on_seed():
    log = [dialogue(f"d{k}") for k in range(4000)]
    chosen = [part_of(d, PARTS, 1) for d in log]
    assert {name: round(chosen.count(name) / len(log), 1) for name in ("train", "valid", "test")} == {
        "train": 0.8,
        "valid": 0.1,
        "test": 0.1,
    }
    assert chosen != [part_of(d, PARTS, 2) for d in log]


def test_seen_copy_with_other_case_and_spacing_is_found():
    seen = Seen([dialogue("a", None, "Play  jazz", "louder"), dialogue("b", None, "", "")])
    assert dialogue("x", None, "play jazz ", "LOUDER") in seen
    assert dialogue("x", None, "play jazz") not in seen
    assert dialogue("x", None, "louder", "play jazz") not in seen
    assert dialogue("x", None, "play", "jazz louder") not in seen
    assert dialogue("x", None, "", "") not in seen, "nothing was requested, so nothing was copied"


def test_part_of_with_other_purpose_divides_differently():
    """By the same numbers again, all of a part would fall into one part."""
    log = [dialogue(f"d{k}", None) for k in range(4_000)]
    held = [d for d in log if part_of(d, PARTS) == PARTS[-1].name]
    again = Counter(part_of(d, PARTS, purpose="calibrate") for d in held)
    assert {part.name: again[part.name] / len(held) for part in PARTS} == pytest.approx(
        {part.name: part.fraction for part in PARTS}, abs=0.08
    )
