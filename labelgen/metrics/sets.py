"""Metrics of tasks that answer a field with a set of labels (intents of a turn, spans of a request, goals of a dialogue), and of
transcriptions.

A label is its task, place and name; probabilities and values do not matter. Transcriptions: words are compared without case and outer
punctuation; where a system gives none, its answer is the request as the recognizer heard it."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable

from rapidfuzz.distance import Levenshtein

from labelgen.data.labels import AtSpan, AtTurn, Label, plain_words
from labelgen.metrics.categories import mean_of_defined
from labelgen.metrics.metric import Array, Item, Metric, divide, f1, of_counts, of_named_counts


def identity(label: Label) -> tuple[Hashable, ...]:
    """What makes two labels the same answer."""
    return label.task, label.at, label.name


def same(first: Iterable[Label], second: Iterable[Label]) -> bool:
    return {identity(x) for x in first} == {identity(x) for x in second}


def _right_fields(item: Item) -> tuple[int, int]:
    right = sum(at in item.predicted and same(item.predicted[at], wanted) for at, wanted in item.reference.items())
    return right, len(item.reference)


def _overlap(of: Callable[[Item, Label], Hashable]) -> Callable[[Item], tuple[int, int, int]]:
    def tally(item: Item) -> tuple[int, int, int]:
        """(in both, predicted, wanted) over the fields that the reference answers."""
        both = predicted = wanted = 0
        for at, labels in item.reference.items():
            ours = Counter(of(item, label) for label in item.predicted.get(at, ()))
            theirs = Counter(of(item, label) for label in labels)
            both += (ours & theirs).total()
            predicted += ours.total()
            wanted += theirs.total()
        return both, predicted, wanted

    return tally


def _text(item: Item, label: Label) -> Hashable:
    if not isinstance(label.at, AtSpan):
        return identity(label)
    words = item.requests[label.at.turn][label.at.start : label.at.end]
    return label.name, " ".join(words.casefold().split())


def _meaning(item: Item, label: Label) -> Hashable:
    if not isinstance(label.at, AtSpan):
        return identity(label)
    words = item.requests[label.at.turn][label.at.start : label.at.end]
    return label.name, plain_words(words if label.value is None else str(label.value))


def _by_name(item: Item) -> dict[str, tuple[int, int, int]]:
    """name -> (in both, predicted, wanted)."""
    rows: dict[str, list[int]] = {}
    for at, labels in item.reference.items():
        predicted = {label.name for label in item.predicted.get(at, ())}
        wanted = {label.name for label in labels}
        for name in predicted | wanted:
            row = rows.setdefault(name, [0, 0, 0])
            row[0] += name in predicted and name in wanted
            row[1] += name in predicted
            row[2] += name in wanted
    return {name: (row[0], row[1], row[2]) for name, row in rows.items()}


def _macro(counts: Array) -> Array:
    return mean_of_defined(f1(counts[:, :, 0], counts[:, :, 1], counts[:, :, 2]))


set_accuracy = Metric(
    _right_fields,
    of_counts(lambda n: divide(n[:, 0], n[:, 1])),
    "share of fields whose whole set of labels is right; an empty set must be answered as such",
)
label_f1 = Metric(
    _overlap(lambda _, label: identity(label)),
    of_counts(lambda n: f1(n[:, 0], n[:, 1], n[:, 2])),
    "F1 over labels; name and place must be exactly right",
)
value_f1 = Metric(
    _overlap(_text),
    of_counts(lambda n: f1(n[:, 0], n[:, 1], n[:, 2])),
    "F1 over names with the words they cover, wherever in the request; case and outer space do not matter",
)
normalized_f1 = Metric(
    _overlap(_meaning),
    of_counts(lambda n: f1(n[:, 0], n[:, 1], n[:, 2])),
    "F1 over names with values, without case and outer punctuation; a label without a value has the words that it covers",
)
name_macro_f1 = Metric(
    _by_name,
    of_named_counts(_macro, 3),
    "mean F1 over the names that occur in the reference or among the answers",
)


def word_counts(item: Item) -> tuple[int, int, int, int]:
    """(edits, words of the reference, requests without an edit, requests)."""
    edits = total = right = requests = 0
    for at, wanted in item.reference.items():
        if not wanted or not isinstance(at, AtTurn):
            continue
        predicted = item.predicted.get(at, ())
        text = str(predicted[0].value) if predicted else item.requests[at.turn]
        spoken = plain_words(str(wanted[0].value)).split()
        distance = Levenshtein.distance(plain_words(text).split(), spoken)
        edits, total = edits + distance, total + len(spoken)
        right, requests = right + (distance == 0), requests + 1
    return edits, total, right, requests


word_error_rate = Metric(
    word_counts,
    of_counts(lambda n: divide(n[:, 0], n[:, 1])),
    "least number of inserted, deleted and substituted words, divided by the number of spoken words",
    larger_is_better=False,
)
request_accuracy = Metric(
    word_counts,
    of_counts(lambda n: divide(n[:, 2], n[:, 3])),
    "share of requests whose words are all as spoken",
)
