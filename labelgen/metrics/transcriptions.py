"""Metrics of transcriptions: the words of a request, as the value of a label.

Words are compared without case and outer punctuation. Where a system gives no transcription, its answer is the request as the
recognizer heard it."""

from rapidfuzz.distance import Levenshtein

from labelgen.data.labels import AtTurn, plain_words
from labelgen.metrics.metric import Item, Metric, divide, of_counts


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
