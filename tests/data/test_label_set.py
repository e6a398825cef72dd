"""Which names a record's source may give, where several corpora were trained on."""

import pytest

from labelgen.base.errors import UsageError
from labelgen.data.label_sets import LEAST_SEEN, LabelName, Sources, carry_company, label_set, with_company
from labelgen.data.labels import AtTurn, Target

SOURCES: Sources = {
    "snips/train": {"intents": (LabelName("PlayMusic"), LabelName("GetWeather"))},
    "domains/air": {"intents": (LabelName("book"), LabelName("thank"))},
    "domains/food": {"intents": (LabelName("order"), LabelName("thank"))},
    "sgd": {"intents": (LabelName("FindEvents"),)},
    "sgd/dev": {"intents": (LabelName("BuyTicket"),)},
    "uss/SGD": {},
}


def names(source: str | None) -> list[str]:
    found = label_set("intents", SOURCES)
    return [found.names[k].name for k in found.of_source(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("snips/train", ["GetWeather", "PlayMusic"]),
        ("snips/validate", ["GetWeather", "PlayMusic"]),
        ("domains/air", ["book", "thank"]),
        ("domains/media", ["book", "order", "thank"]),
        ("sgd/dev", ["BuyTicket"]),
        ("sgd/test", ["FindEvents"]),
        ("uss/SGD", []),
        ("uss/MWOZ", []),
    ],
)
def test_a_part_that_was_not_trained_on_may_give_what_its_corpus_can(source: str, expected: list[str]):
    assert names(source) == expected


@pytest.mark.parametrize("source", ["snip/train", "snips2/train", "other", None])
def test_a_corpus_that_nobody_knows_is_not_guessed(source: str | None):
    with pytest.raises(UsageError, match="no label set of the task 'intents'"):
        names(source)


def told(*names_of_turns: tuple[str, ...], complete: bool = True) -> list[Target]:
    return [
        Target("intents", AtTurn(t), tuple((name, 1.0) for name in given), complete=complete)
        for t, given in enumerate(names_of_turns)
    ]


def test_names_that_stood_together_are_known_and_rare_ones_say_nothing():
    labels = label_set("intents", {"a": {"intents": tuple(map(LabelName, ("ask", "book", "thank", "wave")))}})
    found = with_company(labels, told(*[("ask",), ("book", "thank")] * LEAST_SEEN, ("wave",)))
    assert [labels.names[k].name for k in found.often] == ["ask", "book", "thank"]
    assert [tuple(labels.names[k].name for k in pair) for pair in found.together] == [("book", "thank")]
    assert with_company(labels, told(*[("ask", "book")] * LEAST_SEEN, complete=False)) == labels
    # In another set the same names know the same.
    other = label_set("intents", {"b": {"intents": tuple(map(LabelName, ("thank", "book", "zoom", "about")))}})
    carried = carry_company(other, found)
    assert [other.names[k].name for k in carried.often] == ["book", "thank"]
    assert [tuple(other.names[k].name for k in pair) for pair in carried.together] == [("book", "thank")]
