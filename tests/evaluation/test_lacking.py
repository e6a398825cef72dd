"""What a log lacks is told as it is, and whoever is named is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.agreement.consensus import CONSENSUS
from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.evaluation.protocol import annotator_names, nothing_to_judge, with_all_named
from labelgen.metrics.results import EVERYONE, Setting
from labelgen.tasks.evaluation import EvaluationTask

NAMES = st.sampled_from("abcdef")
QUALITY = EvaluationTask("quality", ("quality",), ("turn",), ("accuracy",), ("bad", "good"))


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


def test_a_log_of_many_annotators_shows_some():
    log = [dialogue(k, {f"r{k:03}"}) for k in range(100)]
    with pytest.raises(UsageError) as told:
        list(with_all_named(log, Setting("nobody")))
    assert told.value.hint.endswith("r019, ...")


def test_annotator_names_of_everyone_and_of_nobody_are_none():
    assert annotator_names(EVERYONE) is annotator_names(None) is None
    assert annotator_names(("a", "b, c")) == frozenset({"a", "b, c"})


@pytest.mark.parametrize(
    ("log", "setting", "left_out", "said"),
    [
        ([], Setting(), {}, "the log holds no dialogue"),
        ([], Setting(), {"copies": 3}, "no dialogue is left: copies 3"),
        ([dialogue(0, set())], Setting(), {}, "no annotation in the log is by a person"),
        ([dialogue(0, {"a", "b"}, "outcome")], Setting(), {}, "no annotation by a person answers quality"),
        ([dialogue(0, {"a"}, "outcome")], Setting("a"), {}, "no annotation by a answers quality"),
        ([dialogue(0, {"a", "b"})], Setting(), {}, f"nothing to judge against {CONSENSUS}: too few"),
        ([replace(dialogue(0, {"a"}), id="x")], Setting("a"), {}, "nothing to judge against a: too few"),
    ],
)
def test_what_is_lacking_is_told_as_it_is(log, setting, left_out, said):
    error = nothing_to_judge(log, [QUALITY], setting, left_out, ["too few"], "log.jsonl")
    assert error.what == said
    assert error.hint
