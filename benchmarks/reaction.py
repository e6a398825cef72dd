"""The detector `reaction`: its making from prototypes, and how well it hears complaints that others wrote or rated.

A prototype is a request, a response and the user's next message, with whether that message complains of the response. They come in files
by hand and domain. Everything is chosen by leaving one file out: another hand, another domain. reactions_blind.tsv was written by a hand of
its own and frozen before anything was trained; it chooses nothing. Prototypes are half complaints. Ordinary messages of corpora stand beside
them, without which a quarter of the messages of tasks sounds like a complaint."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from labelgen.confidence.resampling import Array, Statistic, of_statistic, resamples
from labelgen.confidence.weakness import weighted_auc
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import AtTurn
from labelgen.data.log import Log
from labelgen.feedback.cues import Vote
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import prior_log_odds
from labelgen.feedback.signal import detector, find_signals
from labelgen.verdicts.reaction import HEAD, Head, ReplyInContext, complaint_log_odds, head, surface_of, vectors_of

from .results import Result, bootstrap, versions
from .signals import known_qualities

PROTOTYPES = Path(__file__).with_name("data") / "reactions"
BLIND = Path(__file__).with_name("data") / "reactions_blind.tsv"
COMPONENTS, COST, GAMMA = 96, 3.0, 0.6
"""Principal components of a text, cost of an error and width of the kernel: the best of a small grid by leaving one file out."""
FALSE_ALARMS = 0.04
"""Share of messages without a complaint that may be heard, where a file was left out."""
ORDINARY, MOST_ORDINARY = ("star", "dbdc3"), 1000
"""Corpora of ordinary messages, and how many of each are drawn."""
WORDS = ("answer", "stop", "correction", "rephrase")
"""Detectors of complaints in words."""
DRAWS = 1000

Floats = NDArray[np.float32]
Rows = NDArray[np.bool_]
Judged = tuple[list[ReplyInContext], NDArray[np.bool_]]


def read(path: Path) -> Judged:
    """The replies of a file, and whether each complains."""
    head_line, *lines = path.read_text(encoding="utf-8").splitlines()
    names = head_line.split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines]
    replies = [ReplyInContext(row["request"], row["response"], row["next"]) for row in rows]
    return replies, np.array([row["complaint"] == "1" for row in rows])


def fit(vectors: Floats, surface: Floats, complains: NDArray[np.bool_]) -> Head:
    """A head without probability: its log-odds are the values of the machine."""
    from sklearn.decomposition import PCA
    from sklearn.svm import SVC

    parts = [PCA(COMPONENTS, random_state=0).fit(vectors[:, k]) for k in range(3)]
    made = Head(
        means=np.stack([part.mean_ for part in parts]).astype(np.float32),
        components=np.stack([part.components_ for part in parts]).astype(np.float32),
        vectors=np.zeros((0, 0), np.float32),
        weights=np.zeros(0, np.float32),
        gamma=GAMMA,
        bias=0.0,
        slope=1.0,
        offset=0.0,
        least=0.0,
    )
    machine = SVC(C=COST, gamma=GAMMA).fit(made.columns(vectors, surface), complains)
    found = {
        "vectors": machine.support_vectors_.astype(np.float32),
        "weights": machine.dual_coef_[0].astype(np.float32),
    }
    return Head(**{**vars(made), **found, "bias": float(machine.intercept_[0])})


def ordinary(data: Path) -> Iterator[Judged]:
    """Messages of task dialogues and of chats with bots, where complaints are rare: of STAR, and of turns of DBDC3 that people rated well."""
    rng = np.random.default_rng(0)
    for name in ORDINARY:
        found = []
        for dialogue in Log([data / name], name):
            rated = known_qualities([a for a in dialogue.annotations if a.kind == "person"])
            for t, (one, after) in enumerate(pairwise(dialogue.turns)):
                texts = one.request, one.response, after.request
                if all(text.strip() for text in texts) and rated.get(AtTurn(t), False) is False:
                    found.append(ReplyInContext(*texts))
        drawn = rng.permutation(len(found))[:MOST_ORDINARY]
        yield [found[k] for k in drawn], np.zeros(len(drawn), bool)


@dataclass(frozen=True)
class Pool:
    """All that is learned from. source: number of the file or corpus of each; those below `files` are prototypes."""

    replies: list[ReplyInContext]
    complains: NDArray[np.bool_]
    source: NDArray[np.int64]
    files: int

    @classmethod
    def read(cls, data: Path) -> "Pool":
        """The prototypes, and ordinary messages of the corpora in a folder."""
        prototypes = [read(path) for path in sorted(PROTOTYPES.glob("*.tsv"))]
        every = [*prototypes, *ordinary(data)]
        source = np.repeat(np.arange(len(every)), [len(y) for _, y in every])
        return cls([x for xs, _ in every for x in xs], np.concatenate([y for _, y in every]), source, len(prototypes))

    def held_out(self, scores: Callable[[Rows, Rows], Floats]) -> Floats:
        """Scores of each by a fit without its file or corpus. scores: of some rows, by a fit on others."""
        found = np.zeros(len(self.source), np.float32)
        for k in range(self.source.max() + 1):
            found[self.source == k] = scores(self.source != k, self.source == k)
        return found

    def least(self, scores: Floats) -> float:
        """The score from which a complaint is heard, by FALSE_ALARMS."""
        return float(np.quantile(scores[~self.complains], 1.0 - FALSE_ALARMS))


def make(data: Path, out: Path) -> None:
    """Write the head. Its probability and its threshold come from predictions with one file left out, or one corpus of ordinary messages."""
    from safetensors.numpy import save_file
    from sklearn.linear_model import LogisticRegression

    pool = Pool.read(data)
    vectors, surface = vectors_of(pool.replies), surface_of(pool.replies)
    scores = pool.held_out(partial(_machine, vectors, surface, pool.complains))
    alike = pool.source < pool.files
    platt = LogisticRegression(C=1e6).fit(scores[alike, None], pool.complains[alike])
    made = fit(vectors, surface, pool.complains)
    least = pool.least(platt.decision_function(scores[:, None]))
    numbers = [GAMMA, made.bias, float(platt.coef_[0, 0]), float(platt.intercept_[0]), least]
    scales = np.abs(made.vectors).max(axis=0) / 127.0
    halves = {name: getattr(made, name).astype(np.float16) for name in ("means", "components", "weights")}
    whole = np.round(made.vectors / np.maximum(scales, 1e-9)).astype(np.int8)
    arrays = {**halves, "vectors": whole, "scales": scales, "numbers": np.array(numbers, np.float32)}
    # The library writes the memory as it lies.
    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, out)


def _machine(vectors: Floats, surface: Floats, complains: NDArray[np.bool_], learned: Rows, asked: Rows) -> Floats:
    made = fit(vectors[learned], surface[learned], complains[learned])
    return made.log_odds(made.columns(vectors[asked], surface[asked]))


def _bag_of_words(texts: Sequence[ReplyInContext], complains: NDArray[np.bool_], learned: Rows, asked: Rows) -> Floats:
    """The plainest rival: words of request, response and message, each with weights of its own, and what the texts look like."""
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    surface, parts = surface_of(texts), []
    for k in range(3):
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        words.fit([texts[row][k] for row in np.flatnonzero(learned)])
        parts.append(words.transform([text[k] for text in texts]))
    table = sparse.hstack([*parts, sparse.csr_matrix(surface)]).tocsr()
    model = LogisticRegression(C=3.0, max_iter=1000, class_weight="balanced").fit(table[learned], complains[learned])
    scores: Floats = model.decision_function(table[asked]).astype(np.float32)
    return scores


def auc(scores: Any, right: NDArray[np.bool_]) -> float:
    """Share of pairs of a right and a wrong item of which the right one scores higher."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, scores))


def heard(reply: ReplyInContext, kinds: Sequence[str]) -> bool:
    """Whether a signal says that the response of an reply was bad."""
    turns = (Turn(request=reply.request, response=reply.response), Turn(request=reply.reply, response=""))
    dialogue = Dialogue(id="d", turns=turns)
    return any(s.vote == "bad" and 0 in s.turns and 1 in s.evidence for s in find_signals(dialogue, kinds))


def left_out(star: Sequence[Path], dbdc3: Sequence[Path]) -> list[Result]:
    """Rows of what was learned from, each file and corpus left out: complaints that are heard, and false alarms of prototypes and of ordinary
    messages."""
    pool = Pool.read(_folder_of(star, dbdc3))
    vectors, surface = vectors_of(pool.replies), surface_of(pool.replies)
    rows = []
    for system, scores in (
        ("reaction", pool.held_out(partial(_machine, vectors, surface, pool.complains))),
        ("bag of words", pool.held_out(partial(_bag_of_words, pool.replies, pool.complains))),
    ):
        said, alike = scores >= pool.least(scores), pool.source < pool.files
        for metric, chosen in (
            ("heard", pool.complains),
            ("false_alarms", ~pool.complains & alike),
            ("ordinary_false_alarms", ~alike),
        ):
            rows.append(_share(system, metric, said[chosen]))
    return rows


def blind(star: Sequence[Path], dbdc3: Sequence[Path]) -> list[Result]:
    """Rows of the replies that chose nothing: heard complaints, false alarms, and AUROC, by detectors and by a bag of words that learned
    from the same messages, with a threshold chosen alike."""
    replies, complains = read(BLIND)
    nats = complaint_log_odds(replies)
    by_words = np.array([heard(x, WORDS) for x in replies])
    by_meaning = nats >= head().least
    pool = Pool.read(_folder_of(star, dbdc3))
    least = pool.least(pool.held_out(partial(_bag_of_words, pool.replies, pool.complains)))
    known = np.arange(len(pool.replies) + len(replies)) < len(pool.replies)
    both = [*pool.replies, *replies], np.concatenate([pool.complains, complains])
    bag = _bag_of_words(*both, known, ~known)
    systems = {"phrases": by_words, "bag of words": bag >= least, "reaction": by_meaning, "both": by_words | by_meaning}
    rows = [
        _share(name, metric, said[chosen])
        for name, said in systems.items()
        for metric, chosen in (("heard", complains), ("false_alarms", ~complains))
    ]
    for name, scores in (("reaction", nats), ("bag of words", bag)):
        rows.append(Result(system=name, metric="auroc", value=round(auc(scores, complains), 4), n=len(replies)))
    return rows


def _folder_of(star: Sequence[Path], dbdc3: Sequence[Path]) -> Path:
    """The folder of the corpora."""
    (folder,) = {path.parent for path in (*star, *dbdc3)}
    return folder


def _share(system: str, metric: str, said: NDArray[np.bool_]) -> Result:
    """A share of messages with its exact interval."""
    found = binomtest(int(said.sum()), len(said)).proportion_ci()
    low, high = round(float(found.low), 4), round(float(found.high), 4)
    value = round(float(said.mean()), 4)
    return Result(system=system, metric=metric, value=value, low=low, high=high, interval="exact", n=len(said))


def corpus(log: Sequence[Path], format: str, name: str, every: int = 1) -> list[Result]:
    """AUROC of rated bad turns by the next message: `reaction` beside all detectors that read words. Intervals over dialogues, of which each
    `every`-th one is read."""
    of_turns = list(_turns(islice(Log(list(log), format), 0, None, every)))
    names, unit = np.unique([number for number, _, _, _ in of_turns], return_inverse=True)
    bad = np.array([wrong for _, wrong, _, _ in of_turns])
    phrases = np.array([nats for _, _, nats, _ in of_turns])
    nats = complaint_log_odds([reply for _, _, _, reply in of_turns]).astype(np.float64)

    def area(scores: Array) -> Statistic:
        return lambda times: np.array([weighted_auc(scores, bad, taken[unit]) for taken in times])

    def fires(times: Array) -> Array:
        weights = times[:, unit]
        shares: Array = (weights @ (nats >= head().least)) / weights.sum(axis=1)
        return shares

    times = resamples(len(names), DRAWS, 0)
    areas = {"reaction": area(nats), "phrases": area(phrases)}
    gain: Statistic = lambda taken: areas["reaction"](taken) - areas["phrases"](taken)  # noqa: E731
    rows = [
        ("reaction", "", "bad_auroc", areas["reaction"]),
        ("phrases", "", "bad_auroc", areas["phrases"]),
        ("reaction", "phrases", "bad_auroc", gain),
        ("reaction", "", "fires", fires),
    ]
    return [
        Result(
            corpus=name,
            system=system,
            baseline=baseline,
            metric=metric,
            setting=f"{len(names):,} dialogues",
            n=len(bad),
            versions=versions("numpy"),
            **bootstrap(of_statistic(statistic, times).rounded()),
        )
        for system, baseline, metric, statistic in rows
    ]


def _turns(dialogues: Iterable[Dialogue]) -> Iterator[tuple[int, bool, float, ReplyInContext]]:
    """Each rated turn with a next message: its dialogue, whether it is bad, log-odds of bad by words, and the reply."""
    kinds = [kind for kind in DETECTORS if "request" in detector(kind).EVIDENCE and kind != "reaction"]
    for number, dialogue in enumerate(dialogues):
        signals = find_signals(dialogue, kinds)
        for at, bad in known_qualities([a for a in dialogue.annotations if a.kind == "person"]).items():
            t = getattr(at, "turn", len(dialogue.turns))
            if t + 1 < len(dialogue.turns):
                votes: dict[tuple[str, Vote], float] = {}
                for s in signals:
                    if t in s.turns and s.vote != "fair":
                        vote: Vote = "good" if s.vote == "good" else "bad"
                        nats = prior_log_odds(s.kind, vote, s.strength)
                        votes[s.kind, vote] = max(votes.get((s.kind, vote), 0.0), nats, key=abs)
                turns = dialogue.turns[t : t + 2]
                reply = ReplyInContext(turns[0].request, turns[0].response, turns[1].request)
                yield number, bad, -sum(votes.values()), reply


if __name__ == "__main__":
    make(Path(sys.argv[1]), HEAD)
