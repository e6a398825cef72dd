"""Learned detector: a logistic regression from a turn and the next request to "the user was content".

It is trained on explicit feedback alone: answers to "did I answer your question?" and ratings, those of a whole dialogue
shared by its turns. Several logs weigh the same, and with several logs only words of at least two of them count: words of
one corpus tell its topics, and users of other assistants speak of other things. Its log-odds are scaled by how well they
hold in the log where they hold worst, when that log is left out: a detector that does not transfer says little. A request
that is itself an answer or a rating is not read. Features: one and two words of the next request and of the response by
TF-IDF, their lengths, and how much requests and response have in common. The file is JSON, so that loading it runs no code.

Its signals are of the kind `learned`. They vote where the probability of bad differs from its share in training by
LEAST or more on the scale of an even share, and their strength grows with the difference."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from labelgen import __version__
from labelgen.base.errors import InputError
from labelgen.base.files import digest_bytes, existing_file
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.split import fingerprint, pack
from labelgen.feedback.cues import Vote
from labelgen.feedback.phrases import plain
from labelgen.feedback.posterior import from_log_odds, log_odds
from labelgen.feedback.signal import LEARNED, find_signals, reliability

FORM = "labelgen learned detector 1"

LEAST = 0.6
"""The detector speaks from this probability on, where 0.5 is no evidence."""

LEAST_EXAMPLES = 20
"""Turns with explicit feedback, of either vote, that training needs."""

LEAST_LOGS, LEAST_TURNS = 2, 3
"""A word counts in a log from so many turns on, and at all from so many logs on (one if there is one log)."""

STRENGTH = 1.0
"""Inverse regularization C of the regression."""

UNKNOWN_TRANSFER = 0.5
"""Factor on the evidence of a detector that was learned from one log, so that nobody knows how it transfers."""

_TEACH = ("answer", "rating")
_NUMBERS = 8


class Example(NamedTuple):
    """A turn with explicit feedback. words: features, some several times. weight: that of its feedback."""

    words: list[str]
    numbers: list[float]
    bad: bool
    weight: float


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """Where a detector was learned. examples: turns with explicit feedback; bad: share of bad ones, by weight; digest: of
    the fingerprints of its dialogues."""

    log: str
    dialogues: int
    examples: int
    bad: float
    digest: str


@dataclass(frozen=True, slots=True)
class LearnedDetector:
    """words: feature -> inverse document frequency and coefficient. numbers: coefficients. bad: share of bad turns in
    training. transfer: factor on the log-odds, by how well they hold in logs that were left out. version: of labelgen."""

    words: Mapping[str, tuple[float, float]]
    numbers: tuple[float, ...]
    intercept: float
    bad: float
    transfer: float = 1.0
    trained_on: tuple[TrainingLog, ...] = ()
    version: str = __version__

    def evidence(self, dialogue: Dialogue, turn: int) -> float:
        """Log-odds of good in nats, beyond the share of good turns in training."""
        return self.transfer * self.log_odds(*features(dialogue, turn, frozenset()))

    def log_odds(self, words: Sequence[str], numbers: Sequence[float]) -> float:
        """The same of these features, in the logs of training."""
        vector = {w: (1.0 + math.log(n)) * self.words[w][0] for w, n in Counter(words).items() if w in self.words}
        length = math.sqrt(math.fsum(x * x for x in vector.values())) or 1.0
        nats = math.fsum(x * self.words[w][1] for w, x in vector.items()) / length + self.intercept
        nats += math.fsum(x * c for x, c in zip(numbers, self.numbers, strict=True))
        return log_odds(self.bad) - nats

    def detect(self, dialogue: Dialogue) -> Iterator[Signal]:
        """The signals of one dialogue."""
        precision = reliability(LEARNED).precision
        for turn, spoken in enumerate(dialogue.turns):
            if not spoken.response:
                continue
            nats = self.evidence(dialogue, turn)
            vote: Vote = "good" if nats > 0.0 else "bad"
            right = from_log_odds(abs(nats))
            if right >= LEAST:
                yield Signal(
                    kind=LEARNED,
                    turns=(turn,),
                    vote=vote,
                    strength=min(1.0, (right - 0.5) / (precision[vote] - 0.5)),
                    evidence=(turn + 1,) if turn + 1 < len(dialogue.turns) else (),
                )

    def to_json(self) -> str:
        """The file."""
        return json.dumps({"form": FORM, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"


class _File(msgspec.Struct, frozen=True):
    form: str


def load(path: Path) -> LearnedDetector:
    """The detector of a file. Raises InputError for another kind of file, UsageError for no file."""
    content = existing_file(path).read_bytes()
    try:
        form = msgspec.json.decode(content, type=_File).form
        if form != FORM:
            raise ValueError(f"the form is {form!r} in place of {FORM!r}")
        detector = msgspec.json.decode(content, type=LearnedDetector)
        if len(detector.numbers) != _NUMBERS or not 0.0 < detector.bad < 1.0:
            raise ValueError("its numbers do not fit")
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError(
            f"no learned detector: {error}", str(path), "make one with `labelgen feedback learn`"
        ) from error
    return detector


def digest(fingerprints: Iterable[int]) -> str:
    """Digest of a log by the fingerprints of its dialogues, in any order."""
    return digest_bytes(pack(fingerprints))


def features(dialogue: Dialogue, turn: int, hidden: frozenset[int]) -> tuple[list[str], list[float]]:
    """Words and numbers of a turn. hidden: turns whose requests are feedback themselves and are not read."""
    turns = dialogue.turns
    last = turn + 1 == len(turns)
    request, response = plain(turns[turn].request).split(), plain(turns[turn].response).split()
    following = [] if last or turn + 1 in hidden else plain(turns[turn + 1].request).split()
    words = [f"next: {gram}" for gram in _grams(following)] + [f"response: {gram}" for gram in _grams(response)]
    words += ["next: end"] if last else []
    numbers = [
        len(response) / 20.0,
        len(following) / 20.0,
        _likeness(request, following),
        _likeness(response, following),
        _likeness(request, response),
        float(turns[turn].response.rstrip().endswith("?")),
        float(last),
        float(bool(following)),
    ]
    return words, numbers


def _grams(words: Sequence[str]) -> list[str]:
    return [*words, *(f"{one} {other}" for one, other in pairwise(words))]


def _likeness(one: Sequence[str], other: Sequence[str]) -> float:
    """Jaccard index of the words."""
    return len(set(one) & set(other)) / max(1, len(set(one) | set(other)))


def examples(dialogue: Dialogue) -> Iterator[Example]:
    """The turns with explicit feedback that does not contradict itself. Feedback of several turns is shared by them."""
    signals = [s for s in find_signals(dialogue, _TEACH) if s.explicit and s.vote != "fair"]
    hidden = frozenset(turn for signal in signals for turn in signal.evidence)
    about: dict[int, dict[str, float]] = {}
    for signal in signals:
        for turn in signal.turns:
            votes = about.setdefault(turn, {})
            votes[signal.vote] = max(votes.get(signal.vote, 0.0), 1.0 / len(signal.turns))
    for turn, votes in sorted(about.items()):
        if len(votes) == 1:
            ((vote, weight),) = votes.items()
            yield Example(*features(dialogue, turn, hidden), vote == "bad", weight)


def train(logs: Mapping[str, Iterator[Dialogue]]) -> LearnedDetector:
    """Train on the explicit feedback of logs, by name. Raises InputError with too little feedback, and for a dialogue in two logs."""
    taught: dict[str, list[Example]] = {}
    seen: dict[int, str] = {}
    trained_on: list[TrainingLog] = []
    for name, dialogues in logs.items():
        count = 0
        rows: list[Example] = []
        for dialogue in dialogues:
            count += 1
            # A copy in the log that is left out would pass for transfer.
            if (other := seen.setdefault(fingerprint(dialogue), name)) != name:
                raise InputError(
                    f"dialogue {dialogue.id} is also in {other}", name, "give logs without copies of each other"
                )
            rows += examples(dialogue)
        if rows:
            taught[name] = rows
        marks = digest(mark for mark, of in seen.items() if of == name)
        trained_on.append(TrainingLog(name, count, len(rows), _bad(rows), marks))
    votes = Counter(row.bad for rows in taught.values() for row in rows)
    least = min(votes[False], votes[True])
    if least < LEAST_EXAMPLES:
        raise InputError(
            f"{least:,} turns with explicit feedback of one kind are too few to learn from",
            ", ".join(logs),
            f"give logs with at least {LEAST_EXAMPLES} good and {LEAST_EXAMPLES} bad answers or ratings",
        )
    return replace(_fit(list(taught.values())), transfer=_transfer(taught), trained_on=tuple(trained_on))


def _transfer(taught: Mapping[str, Sequence[Example]]) -> float:
    """The smallest slope, over the logs, of a logistic regression of a log's feedback on the evidence that was learned from
    the others; between 0 and 1."""
    from sklearn.linear_model import LogisticRegression

    slopes = []
    for name, rows in taught.items():
        others = [rest for other, rest in taught.items() if other != name]
        if (
            min(Counter(row.bad for rest in others for row in rest).get(bad, 0) for bad in (False, True))
            < LEAST_EXAMPLES
        ):
            continue
        if len({row.bad for row in rows}) < 2:
            continue
        detector = _fit(others)
        nats = [[detector.log_odds(row.words, row.numbers)] for row in rows]
        weights = [row.weight * len(rows) / math.fsum(row.weight for row in rows) for row in rows]
        model = LogisticRegression().fit(nats, [not row.bad for row in rows], sample_weight=weights)
        slopes.append(float(model.coef_[0][0]))
    return min(max(min(slopes, default=UNKNOWN_TRANSFER), 0.0), 1.0)


def _fit(logs: Sequence[Sequence[Example]]) -> LearnedDetector:
    """The regression; each log weighs the same."""
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    often: Counter[str] = Counter()
    for rows in logs:
        turns = Counter(word for row in rows for word in set(row.words))
        often.update(word for word, count in turns.items() if count >= LEAST_TURNS)
    kept = sorted(word for word, count in often.items() if count >= min(LEAST_LOGS, len(logs)))
    rows = [row for log in logs for row in log]
    weights = [row.weight / math.fsum(row.weight for row in log) for log in logs for row in log]
    parts = [sparse.csr_matrix([row.numbers for row in rows])]
    idf: list[float] = []
    if kept:
        vectorizer = TfidfVectorizer(analyzer=list, vocabulary=kept, sublinear_tf=True)
        known = set(kept)
        parts.insert(0, vectorizer.fit_transform([[w for w in row.words if w in known] for row in rows]))
        idf = [float(x) for x in vectorizer.idf_]
    scale = len(rows) / math.fsum(weights)
    model = LogisticRegression(C=STRENGTH, max_iter=5000)
    model.fit(sparse.hstack(parts).tocsr(), [row.bad for row in rows], sample_weight=[w * scale for w in weights])
    coefficients = [float(x) for x in model.coef_[0]]
    words = dict(zip(kept, zip(idf, coefficients, strict=False), strict=True))
    bad = math.fsum(_bad(log) for log in logs) / len(logs)
    return LearnedDetector(words, tuple(coefficients[len(kept) :]), float(model.intercept_[0]), bad)


def _bad(rows: Sequence[Example]) -> float:
    """The share of bad turns, by weight; 0 without any."""
    return math.fsum(row.weight for row in rows if row.bad) / (math.fsum(row.weight for row in rows) or 1.0)
