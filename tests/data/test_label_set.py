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
def test_label_set_untrained_part_uses_labels_of_corpus(source: str, expected: list[str]):
    assert names(source) == expected


@pytest.mark.parametrize("source", ["snip/train", "snips2/train", "other", None])
def test_label_set_unknown_corpus_raises(source: str | None):
    with pytest.raises(UsageError, match="no label set of the task 'intents'"):
        names(source)


def told(*names_of_turns: tuple[str, ...], complete: bool = True) -> list[Target]:
    return [
        Target("intents", AtTurn(t), tuple((name, 1.0) for name in given), complete=complete)
        for t, given in enumerate(names_of_turns)
    ]


def test_label_set_counts_keep_pairs_and_ignore_rare_names():
    labels = label_set("intents", {"a": {"intents": tuple(map(LabelName, ("ask", "book", "thank", "wave")))}})
    found = with_company(labels, told(*[("ask",), ("book", "thank")] * LEAST_SEEN, ("wave",)))
    assert [labels.names[k].name for k in found.often] == ["ask", "book", "thank"]
    assert [tuple(labels.names[k].name for k in pair) for pair in found.together] == [("book", "thank")]
    assert with_company(labels, told(*[("ask", "book")] * LEAST_SEEN, complete=False)) == labels
    # A name that stands twice, as in an annotation that repeats it, is no company of itself.
    assert with_company(labels, told(("ask", "ask"))).together == ()
    # In another set the same names know the same.
    other = label_set("intents", {"b": {"intents": tuple(map(LabelName, ("thank", "book", "zoom", "about")))}})
    carried = carry_company(other, found)
    assert [other.names[k].name for k in carried.often] == ["book", "thank"]
    assert [tuple(other.names[k].name for k in pair) for pair in carried.together] == [("book", "thank")]
