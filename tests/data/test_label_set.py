"""Which names a record's source may give, where several corpora were trained on."""

import pytest

from labelgen.base.errors import UsageError
from labelgen.data.label_set import LabelName, Sources, label_set

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
