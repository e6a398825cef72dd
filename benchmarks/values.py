"""Slot values and corrected requests against what was meant and spoken.

In simulation the spoken words and the meant values are known: the weights of the model that corrects requests are learned on
simulated logs of other seeds, users and scripts than those that judge it. In SGD people wrote down the values that words stand for.
DSTC10's n-best lists are a real recognizer's, without transcripts; there the assistant's next response is the only evidence: of words
that some hypotheses have and others lack, those that the response repeats are right. For that, the response is hidden from the model.
Intervals are over users, or over dialogues where users are unknown, and over trainings where there are several.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from scipy.stats import beta

from labelgen.base.files import write_text
from labelgen.base.registry import resolve
from labelgen.confidence.resampling import Array, interval, over_trainings, resampled, resamples
from labelgen.data.catalogue import Catalogue, plain_words
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.label_sets import Sources
from labelgen.data.labels import TRANSCRIPTION, Annotation, AtSpan, AtTurn, Label, answers
from labelgen.data.log import Log
from labelgen.data.values import ValueRules, comparable
from labelgen.feedback.signal import find_signals
from labelgen.feedback.transcription import (
    FIRST,
    NBEST,
    REPHRASE,
    Candidate,
    Counts,
    LogStatistics,
    Weights,
    candidates,
    examples,
    fit,
    vote,
    with_values,
)
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item, Metric, divide
from labelgen.metrics.transcriptions import word_counts
from labelgen.simulator.corpus_world import CorpusWorld
from labelgen.simulator.log import labels as grammar_labels
from labelgen.simulator.log import simulate
from labelgen.simulator.scripts import read_corpus
from labelgen.simulator.vocabulary import ENTITIES
from labelgen.simulator.world import WorldOptions

from .results import Result, bootstrap, versions
from .rows import seed_of

RESAMPLES = 1000
PRECISION = 0.97
MODEL, HEARD = "n-best and rephrases", "first hypothesis"


@dataclass
class SimulatedLog:
    """Dialogues with their signals and spoken words. labels: names of the world. catalogue: of its entities; None in a world of scripts."""

    dialogues: list[Dialogue]
    signals: list[tuple[Signal, ...]]
    spoken: list[Mapping[int, str]]
    labels: Sources
    catalogue: Catalogue | None
    statistics: LogStatistics = field(default_factory=LogStatistics)

    def __post_init__(self) -> None:
        for dialogue in self.dialogues:
            self.statistics.add(dialogue)

    def each(self) -> Iterator[tuple[Dialogue, Sequence[Signal], Mapping[int, str], Counts]]:
        for dialogue, signals, spoken in zip(self.dialogues, self.signals, self.spoken, strict=True):
            yield dialogue, signals, spoken, self.statistics.without(dialogue)


def simulated(scripts: Sequence[Path], dialogues: int, seed: int, start: str = "") -> SimulatedLog:
    """A log of the world of the grammar, or of SGD's dialogues in the folder `scripts`. start: day of all dialogues, where the scripts
    speak of one day."""
    world = CorpusWorld(read_corpus(f"sgd:{scripts[0]}")) if scripts else None
    options = WorldOptions(transcribed=1.0, annotated=0.0)
    log = [replace(d, start=start or d.start) for d in simulate(dialogues, seed, options, world)]
    known = {slot: dict.fromkeys(names, ()) for slot, names in ENTITIES.items()}
    return SimulatedLog(
        log,
        [find_signals(dialogue) for dialogue in log],
        [_spoken(dialogue) for dialogue in log],
        world.labels() if world else grammar_labels(),
        None if scripts else Catalogue(known),
    )


def _spoken(dialogue: Dialogue) -> Mapping[int, str]:
    (truth,) = dialogue.annotations
    return {x.at.turn: str(x.value) for x in truth.labels if x.task == TRANSCRIPTION and isinstance(x.at, AtTurn)}


def learn(scripts: Sequence[Path], dialogues: int, seed: int, out: Sequence[Path]) -> None:
    """Learn weights on a log of each of the two worlds, and write them. Every other dialogue is read without a catalogue, and every third
    without the recognizer's confidence, so that the weights serve logs that lack them."""
    found: list[tuple[Candidate, bool]] = []
    for number, where in enumerate(([], scripts)):
        log = simulated(where, dialogues, 1000 + 10 * int(seed) + number)
        for k, (dialogue, signals, spoken, counts) in enumerate(log.each()):
            if k % 3 == 0:
                turns = tuple(replace(turn, asr_confidence=None) for turn in dialogue.turns)
                dialogue = replace(dialogue, turns=turns)
            found += examples(dialogue, signals, counts, spoken, log.catalogue if k % 2 else None)
    made = f"{dialogues} simulated dialogues of the grammar, {dialogues} by scripts of SGD; seed {seed}"
    write_text(out[0], msgspec.json.format(msgspec.json.encode(fit(found, made)), indent=1).decode() + "\n")


Choice = Callable[[Sequence[Candidate], Weights], tuple[float, Candidate]]


def _by_model(kept: Sequence[str] | None = None) -> Choice:
    def choose(found: Sequence[Candidate], weights: Weights) -> tuple[float, Candidate]:
        scored = [
            (weights.probability(c.features), -k, c) for k, c in enumerate(found) if kept is None or c.origin in kept
        ]
        probability, _, best = max(scored, key=lambda one: one[:2])
        return probability, best

    return choose


def _heard(found: Sequence[Candidate], weights: Weights) -> tuple[float, Candidate]:
    return 1.0, found[0]


def _longest(found: Sequence[Candidate], weights: Weights) -> tuple[float, Candidate]:
    listed = [c for c in found if c.origin in (FIRST, NBEST)]
    return 1.0, max(listed, key=lambda c: len(c.text.split()))


def _voted(found: Sequence[Candidate], weights: Weights) -> tuple[float, Candidate]:
    """The vote over the list; of two hypotheses, the first."""
    listed = [plain_words(c.text).split() for c in found if c.origin in (FIRST, NBEST)]
    return 1.0, Candidate(" ".join(vote(listed)), "vote", ())


CHOICES: Mapping[str, Choice] = {
    HEARD: _heard,
    "longest hypothesis": _longest,
    "vote over the n-best list": _voted,
    "n-best alone": _by_model((FIRST, NBEST, "vote")),
    "rephrases alone": _by_model((FIRST, REPHRASE)),
    MODEL: _by_model(),
}
LEARNED = ("n-best alone", "rephrases alone", MODEL)
ORACLE = "best candidate (oracle)"
FEWEST = "fewest unwritten words"
EVERY, UNWRITTEN = "all requests", "first hypothesis with unwritten words"


@dataclass
class Tally:
    """Rows of counts by unit (user or dialogue), by system and training."""

    units: dict[str, int] = field(default_factory=dict)
    rows: dict[tuple[str, ...], dict[int, Array]] = field(default_factory=dict)

    def add(self, key: tuple[str, ...], unit: str, counts: Sequence[float]) -> None:
        number = self.units.setdefault(unit, len(self.units))
        rows = self.rows.setdefault(key, {})
        rows[number] = rows.get(number, np.zeros(len(counts))) + np.asarray(counts, dtype=np.float64)

    def table(self, key: tuple[str, ...]) -> Array:
        rows = self.rows[key]
        width = len(next(iter(rows.values())))
        return np.stack([rows.get(k, np.zeros(width)) for k in range(len(self.units))])


Formula = Callable[[Array], Array]


def _row(
    tally: Tally,
    keys: Sequence[tuple[str, ...]],
    formula: Formula,
    base: Sequence[tuple[str, ...]],
    n: int,
    **cells: Any,
) -> list[Result]:
    """One number, or none where it is not defined: the mean over trainings, with its interval over units and trainings; with `base`, its ratio to those."""
    times = resamples(len(tally.units), RESAMPLES, 0)

    def draw(key: tuple[str, ...]) -> tuple[float, Array]:
        table = tally.table(key)
        return float(formula(table.sum(axis=0)[None])[0]), resampled(lambda t: formula(t @ table), times)

    drawn = [draw(key) for key in keys]
    if base:
        below = [draw(key) for key in base]
        drawn = [(v / w, d / e) for (v, d), (w, e) in zip(drawn, below, strict=True)]
    value, draws = over_trainings([v for v, _ in drawn], [d for _, d in drawn], 0)
    if not np.isfinite(value):
        return []
    shown = bootstrap(interval(value, draws).rounded())
    return [Result(n=n, versions=versions("numpy", "scikit-learn"), **shown, **cells)]


def _weights(paths: Sequence[Path]) -> list[Weights]:
    return [msgspec.json.decode(path.read_bytes(), type=Weights) for path in paths]


def requests(
    weights: Sequence[Path], corpus: str, dialogues: int, seed: int, scripts: Sequence[Path] = ()
) -> list[Result]:
    """Word error rate and accuracy of requests in a simulated log, over all requests and over those with more than one candidate."""
    log = simulated(scripts, dialogues, int(seed))
    models = _weights(weights)
    tally, counts_of = Tally(), Counter[str]()
    for dialogue, signals, spoken, counts in log.each():
        unit = dialogue.user or dialogue.id
        for turn, text in spoken.items():
            found = candidates(dialogue, turn, signals, counts, log.catalogue)
            parts = ["all requests", *(["requests with alternatives"] if len(found) > 1 else [])]
            answers_of = _chosen_texts(found, models)
            best = min(found, key=lambda c: _edits(c.text, text, dialogue, turn)[0])
            answers_of[ORACLE, "0"] = best.text
            for part in parts:
                counts_of[part] += 1
                for key, answer in answers_of.items():
                    tally.add((part, *key), unit, _edits(answer, text, dialogue, turn))
    rows: list[Result] = []
    for part, n in counts_of.items():
        for name in (*CHOICES, ORACLE):
            keys = sorted(key for key in tally.rows if key[:2] == (part, name))
            cells = {"corpus": corpus, "split": "other users", "task": TRANSCRIPTION, "system": name, "setting": part}
            cells["seed"] = " ".join(str(k) for k in range(len(models))) if name in LEARNED else ""
            rows += _row(tally, keys, _wer, (), n, metric="word_error_rate", **cells)
            rows += _row(tally, keys, _accuracy, (), n, metric="request_accuracy", **cells)
            if name not in (HEARD, ORACLE):
                heard = [(part, HEARD, "0")] * len(keys)
                rows += _row(tally, keys, _wer, heard, n, metric="word_error_rate_ratio", baseline=HEARD, **cells)
    return rows


def _chosen_texts(found: Sequence[Candidate], models: Sequence[Weights]) -> dict[tuple[str, str], str]:
    """(choice, training) -> the request; choices without weights have one training."""
    return {
        (name, str(m)): choose(found, model)[1].text
        for name, choose in CHOICES.items()
        for m, model in enumerate(models if name in LEARNED else models[:1])
    }


def _edits(answer: str, spoken: str, dialogue: Dialogue, turn: int) -> tuple[int, int, int, int]:
    at = AtTurn(turn)
    reference, given = (Label(TRANSCRIPTION, at, "request", None, text) for text in (spoken, answer))
    return word_counts(Item(tuple(t.request for t in dialogue.turns), {at: (reference,)}, {at: (given,)}))


def _wer(n: Array) -> Array:
    return divide(n[:, 0], n[:, 1])


def _accuracy(n: Array) -> Array:
    return divide(n[:, 2], n[:, 3])


def _share(n: Array) -> Array:
    return divide(n[:, 0], n[:, 1])


def precision(
    weights: Sequence[Path], corpus: str, dialogues: int, seed: int, scripts: Sequence[Path] = (), start: str = ""
) -> list[Result]:
    """Precision and coverage of corrected requests and of slot values, where thresholds are fixed on one simulated log (seed + 1) and
    judged on another.

    A threshold is the least probability from which precision is PRECISION on the first log, by a 95% bound. Values: spans are given; a value counts if a
    rule or the catalogue resolves it, with the probability of the corrected request that it was read from."""
    models = _weights(weights)
    judging = simulated(scripts, dialogues, int(seed), start)
    # Corrected requests are few, and the bound needs many.
    fixing = simulated(scripts, 4 * dialogues, int(seed) + 1, start)
    tally = Tally()
    keys: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    totals: Counter[tuple[str, str]] = Counter()
    for m, model in enumerate(models):
        before, after = _scored(fixing, model), _scored(judging, model)
        for kind, rows in after.items():
            threshold = _threshold([(p, right) for _, p, right in before[kind]])
            for what in ("precision", "coverage"):
                keys.setdefault((kind, what), []).append((kind, what, str(m)))
            totals[kind, "n"] = len(rows)
            for unit, probability, right in rows:
                taken = probability >= threshold
                tally.add((kind, "precision", str(m)), unit, (taken and right, taken))
                tally.add((kind, "coverage", str(m)), unit, (taken, 1))
    seeds = " ".join(str(k) for k in range(len(models)))
    return [
        row
        for (kind, what), own in keys.items()
        for row in _row(
            tally, own, _share, (), totals[kind, "n"], corpus=corpus, split="other users", task=kind, system=MODEL,
            setting=f"threshold for precision {PRECISION:g} from another log", metric=what, seed=seeds,
        )
    ]  # fmt: skip


def _threshold(scored: Sequence[tuple[float, bool]]) -> float:
    """The least probability above which precision is PRECISION at least, by a one-sided 95% exact bound; above 1 where there is none."""
    ranked = sorted(scored, reverse=True)
    right, least = 0, 1.1
    for k, (probability, is_right) in enumerate(ranked, 1):
        right += is_right
        last_of_ties = k == len(ranked) or ranked[k][0] < probability
        if last_of_ties and beta.ppf(0.05, right, k - right + 1) >= PRECISION:
            least = probability
    return least


def _scored(log: SimulatedLog, model: Weights) -> dict[str, list[tuple[str, float, bool]]]:
    """(unit, probability, right) of all requests, of corrected ones, and of slot values."""
    found: dict[str, list[tuple[str, float, bool]]] = {"all requests": [], "corrected requests": [], "slot values": []}
    for dialogue, signals, spoken, counts in log.each():
        unit = dialogue.user or dialogue.id
        chosen: dict[int, tuple[float, Candidate]] = {}
        for turn, text in spoken.items():
            chosen[turn] = _by_model()(candidates(dialogue, turn, signals, counts, log.catalogue), model)
            probability, best = chosen[turn]
            right = plain_words(best.text) == plain_words(text)
            found["all requests"].append((unit, probability, right))
            if best.origin != FIRST:
                found["corrected requests"].append((unit, probability, right))
        for label, value in _values(dialogue, chosen, ValueRules(log.catalogue)):
            same = comparable(str(value.value), dialogue.start) == comparable(str(label.value), dialogue.start)
            assert isinstance(label.at, AtSpan)
            probability = chosen[label.at.turn][0] if value.origin != "text" else 0.0
            found["slot values"].append((unit, probability, same and value.name == label.name))
    return found


def _values(
    dialogue: Dialogue, chosen: Mapping[int, tuple[float, Candidate]], rules: ValueRules
) -> Iterator[tuple[Label, Label]]:
    """The truth's slots, and the same spans with the values that are read from corrected requests."""
    (truth,) = dialogue.annotations
    slots = [x for x in truth.labels if isinstance(x.at, AtSpan)]
    labeled = replace(dialogue, annotations=(_transcriber(chosen),))
    bare = [replace(x, value=None) for x in slots]
    for label, value in zip(slots, with_values(labeled, bare, rules), strict=True):
        assert isinstance(value, Label)
        yield label, value


def _transcriber(chosen: Mapping[int, tuple[float, Candidate]]) -> Annotation:
    made = tuple(
        Label(TRANSCRIPTION, AtTurn(turn), "request", p, c.text, origin=c.origin) for turn, (p, c) in chosen.items()
    )
    return Annotation("transcriber", "rule", made)


def slots(
    weights: Sequence[Path],
    models: Sequence[Path],
    corpus: str,
    dialogues: int,
    seed: int,
    scripts: Sequence[Path] = (),
    start: str = "",
) -> list[Result]:
    """Span F1 and value F1 of given spans, of the spans that the simulated assistant understood, and of those of trained models.

    The first training's weights correct the requests; the intervals are over users and, of several models, over these."""
    log, model = simulated(scripts, dialogues, int(seed), start), _weights(weights)[0]
    trained = [_spans_of_model(folder, log) for folder in models]
    tally, n = Tally(), Counter[tuple[str, str]]()
    metrics: dict[str, Metric] = {name: _metric(name) for name in ("slot_span_f1", "slot_normalized_f1")}
    for k, (dialogue, signals, spoken, counts) in enumerate(log.each()):
        unit = dialogue.user or dialogue.id
        chosen = {t: _by_model()(candidates(dialogue, t, signals, counts, log.catalogue), model) for t in spoken}
        corrected = replace(dialogue, annotations=(_transcriber(chosen),))
        reference = answers(dialogue.annotations[0], "slots")
        every = [(spans, "", labels) for spans, labels in _spans(dialogue).items()]
        every += [
            ("spans of a trained model", seed_of(folder), of[k]) for folder, of in zip(models, trained, strict=True)
        ]
        for spans, training, labels in every:
            systems: dict[str, list[Label]] = {"words of the span": labels}
            for name, source, rules in (
                *([("rules and catalogue", dialogue, ValueRules(log.catalogue))] if log.catalogue else []),
                ("rules, corrected requests", corrected, ValueRules()),
                *(
                    [("rules, catalogue, corrected requests", corrected, ValueRules(log.catalogue))]
                    if log.catalogue
                    else []
                ),
            ):
                systems[name] = [x for x in with_values(source, labels, rules) if isinstance(x, Label)]
            n[spans, training] += len(labels)
            for name, given in systems.items():
                predicted = {at: tuple(x for x in given if AtTurn(x.at.turn) == at) for at in reference}  # type: ignore[union-attr]
                item = Item(tuple(t.request for t in dialogue.turns), reference, predicted, dialogue.start)
                for metric, known in metrics.items():
                    tally.add((spans, name, metric, training), unit, known.tally(item))
    seeds = {spans: [s for known, s in n if known == spans] for spans, _ in n}
    return [
        row
        for spans, name, metric in dict.fromkeys(key[:3] for key in tally.rows)
        for row in _row(
            tally, [(spans, name, metric, s) for s in seeds[spans]], lambda c: divide(2.0 * c[:, 0], c[:, 1] + c[:, 2]),
            (), round(mean(n[spans, s] for s in seeds[spans])), corpus=corpus, split="other users", task="slots",
            setting=spans, system=name, metric=metric, seed=" ".join(seeds[spans]),
        )
    ]  # fmt: skip


def _spans_of_model(folder: Path, log: SimulatedLog) -> list[list[Label]]:
    """The slots that a model labels in each dialogue."""
    from labelgen.model.annotator import Annotator

    bare = [replace(dialogue, annotations=()) for dialogue in log.dialogues]
    annotations = Annotator(folder, log.labels).annotate(bare)
    return [[x for x in annotation.labels if isinstance(x.at, AtSpan)] for annotation in annotations]


def _metric(name: str) -> Metric:
    found: Metric = resolve(METRICS, name, "metric")
    return found


def _spans(dialogue: Dialogue) -> dict[str, list[Label]]:
    (truth,) = dialogue.annotations
    given = [replace(x, value=None) for x in truth.labels if isinstance(x.at, AtSpan)]
    understood = [
        Label("slots", AtSpan(t, s.start, s.end), s.name)
        for t, turn in enumerate(dialogue.turns)
        for s in (turn.hypothesis.slots if turn.hypothesis else ())
    ]
    return {"spans given": given, "spans of the simulated assistant": understood}


def written(log: Sequence[Path], corpus: str, start: str, split: str) -> list[Result]:
    """Values of SGD's own annotators: the share of slots whose value equals theirs, and precision and coverage of resolved values.

    start: the day that the corpus's conversations take place on. The catalogue lists the values that the annotators wrote, without any
    other name, as the database of a service would."""
    dialogues = [replace(d, start=start) for d in Log(list(log), "sgd")]
    spans = [(d, [x for a in d.annotations for x in a.labels if isinstance(x.at, AtSpan)]) for d in dialogues]
    entries: dict[str, dict[str, tuple[str, ...]]] = {}
    for d, labels in spans:
        for x in labels:
            entries.setdefault(x.name, {})[_meant(d, x)] = ()
    tally, n = Tally(), 0
    for d, labels in spans:
        bare = [replace(x, value=None) for x in labels]
        n += len(labels)
        for name, rules in (("rules", ValueRules()), ("rules and catalogue", ValueRules(Catalogue(entries)))):
            for x, value in zip(labels, with_values(d, bare, rules), strict=True):
                assert isinstance(value, Label)
                _count(tally, name, d, str(value.value), _meant(d, x), value.origin != "text")
        for x in labels:
            _count(tally, "words of the span", d, _words(d, x), _meant(d, x), False)
    rows: list[Result] = []
    for name in ("words of the span", "rules", "rules and catalogue"):
        for metric in ("value_accuracy", *(("precision", "coverage") if name != "words of the span" else ())):
            cells = {"corpus": corpus, "split": split, "task": "slots", "setting": "spans given", "system": name}
            rows += _row(tally, [(name, metric)], _share, (), n, metric=metric, reference="corpus", **cells)
    return rows


def _count(tally: Tally, name: str, dialogue: Dialogue, value: str, meant: str, resolved: bool) -> None:
    right = comparable(value, dialogue.start) == comparable(meant, dialogue.start)
    if name == "words of the span":
        right = plain_words(value) == plain_words(meant)
    tally.add((name, "value_accuracy"), dialogue.id, (right, 1))
    tally.add((name, "precision"), dialogue.id, (right and resolved, resolved))
    tally.add((name, "coverage"), dialogue.id, (resolved, 1))


def _words(dialogue: Dialogue, label: Label) -> str:
    assert isinstance(label.at, AtSpan)
    return dialogue.turns[label.at.turn].request[label.at.start : label.at.end]


def _meant(dialogue: Dialogue, label: Label) -> str:
    return _words(dialogue, label) if label.value is None else str(label.value)


def confirmed(weights: Sequence[Path], log: Sequence[Path], corpus: str, lexicon: Sequence[Path]) -> list[Result]:
    """Real n-best lists without transcripts: of the words that distinguish the hypotheses and that the next response repeats, the share
    that a system has. The response, and all later turns, are hidden from the model.

    A second figure is the share of words that nobody wrote in another corpus (lexicon: a log in labelgen's form), over all requests and over
    those whose first hypothesis has such words. It tells fragments from words, not right words from wrong ones. No choice has fewer of them than
    FEWEST."""
    models = _weights(weights)
    statistics, dialogues = LogStatistics(), list(Log(list(log), corpus.lower()))
    written_words = {
        w for d in Log(list(lexicon)) for t in d.turns for w in plain_words(f"{t.request} {t.response}").split()
    }
    for dialogue in dialogues:
        statistics.add(dialogue)
    tally, counted = Tally(), Counter[tuple[str, str]]()
    seen: set[tuple[str, ...]] = set()
    for dialogue in dialogues:
        counts = statistics.without(dialogue)
        for turn, this in enumerate(dialogue.turns):
            history = tuple(t.request for t in dialogue.turns[: turn + 1])
            if history in seen or len(this.nbest) < 2:
                continue
            seen.add(history)
            listed = [frozenset(plain_words(one.text).split()) for one in this.nbest]
            earlier = {w for t in dialogue.turns[:turn] for w in plain_words(f"{t.request} {t.response}").split()}
            differing = frozenset.union(*listed) - frozenset.intersection(*listed)
            repeated = differing.intersection(plain_words(this.response).split()) - earlier
            telling = {word for word in repeated if len(word) > 3}
            hidden = replace(dialogue, turns=(*dialogue.turns[:turn], replace(this, response="")))
            found = candidates(hidden, turn, (), counts)
            unit = dialogue.turns[0].request

            def unknown(text: str) -> int:
                return sum(word not in written_words for word in plain_words(text).split())

            chosen = _chosen_texts(found, models)
            chosen[FEWEST, "0"] = min(found, key=lambda c: unknown(c.text)).text
            for part in (EVERY, *([UNWRITTEN] if unknown(this.request) else [])):
                counted += Counter({(part, "requests"): 1, (part, "words"): len(telling)})
                for key, text in chosen.items():
                    words = plain_words(text).split()
                    tally.add((part, *key, "confirmed_words"), unit, (len(telling & set(words)), len(telling)))
                    tally.add((part, *key, "unwritten_words"), unit, (unknown(text), len(words)))
                    changed = words != plain_words(this.request).split()
                    tally.add((part, *key, "changed_requests"), unit, (changed, 1))
    rows: list[Result] = []
    for part, name, metric in dict.fromkeys((key[0], key[1], key[3]) for key in tally.rows):
        keys = sorted(key for key in tally.rows if (key[0], key[1], key[3]) == (part, name, metric))
        seeds = " ".join(str(k) for k in range(len(models))) if name in LEARNED else ""
        cells = {
            "corpus": corpus,
            "split": "valid",
            "task": TRANSCRIPTION,
            "setting": part,
            "system": name,
            "seed": seeds,
        }
        n = counted[part, "words" if metric == "confirmed_words" else "requests"]
        rows += _row(tally, keys, _share, (), n, metric=metric, **cells)
        if metric == "unwritten_words" and name != HEARD:
            heard = [(part, HEARD, "0", metric)] * len(keys)
            rows += _row(tally, keys, _share, heard, n, metric="unwritten_words_ratio", baseline=HEARD, **cells)
    return rows
