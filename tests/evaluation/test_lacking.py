"""What a log lacks is told as it is, and whoever is named is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.evaluation.protocol import with_all_named
from labelgen.metrics.results import Setting

NAMES = st.sampled_from("abcdef")


def dialogue(k: int, names: set[str], task: str = "quality") -> Dialogue:
    said = (Label(task, AtTurn(0), "good"),)
    people = tuple(Annotation(name, "person", said) for name in sorted(names))
    return Dialogue(id=f"d{k}", turns=(Turn(request="louder", response="OK."),), annotations=people)


@given(st.lists(st.sets(NAMES), min_size=1, max_size=6), st.sets(NAMES, min_size=1), st.sets(NAMES))
def test_whoever_is_named_is_in_the_log_or_refused(said, people, elsewhere):
    log = [dialogue(k, names) for k, names in enumerate(said)]
    setting = Setting(annotators=tuple(sorted(people)))
    missed = people - set().union(*said) - elsewhere
    passed = with_all_named(log, setting, [dialogue(9, elsewhere)])
    if not missed:
        assert list(passed) == log
        return
    with pytest.raises(UsageError) as told:
        list(passed)
    assert told.value.what == f"nobody annotated as {', '.join(sorted(missed))}"
    assert all(name in told.value.hint for name in set().union(*said))
