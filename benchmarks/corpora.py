"""Logs that single recipes need: rules as annotators on STAR and BETOLD, and USS with one rater as its only feedback.

A rate is the share of failures among the training users' answers, by something of the dialogue; it is written as an annotator of kind
`rule` at the goals of the annotator `user`.

Goals without goal labels: which dialogues are spliced, what is evaluated, and boundaries as SuperDialseg scores them.

`parts` keeps dialogues that can be one part of a splice: two turns or more, not planned as several tasks; their annotations are dropped.
`splice` makes each of them the first part of two splices with one or two others of its corpus, in runs of one to four turns as in
training: once with others of its domain (harder), once with others of other domains; if domains are unknown, once with any. Annotator
`splice` gives the goals. `several` keeps dialogues that were planned as several tasks.
"""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
from msgspec.structs import replace

from labelgen.base.errors import UsageError
from labelgen.confidence.resampling import Array, interval, over_trainings, resamples
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.labels import GOALS, Annotation, AtDialogue, AtGoal, AtTurn, Label, NoLabel, answers, division
from labelgen.data.log import Log, write_log
from labelgen.data.split import Seen, position
from labelgen.feedback.items import rules
from labelgen.feedback.signal import find_signals, mask
from labelgen.feedback.targets import feedback_targets
from labelgen.metrics.segmentation import borders
from labelgen.pretraining.corruption import interleaved, join_parts, without_answers

from .results import Result, bootstrap, versions
from .rows import seed_of

USER = "user"
WATERFALL = "implicit signals (waterfall)"
CONFIRMED = ("confirm date scheduled", "confirm change schedule")
Key = Callable[[Dialogue], Hashable]


def held_back(
    source: Sequence[Path],
    format: str,
    train: Sequence[Path],
    out: Sequence[Path],
    only: str = "",
    keep_copies: bool = False,
) -> None:
    """Write a test set in a corpus's published form, without copies of what the recipe learns from.

    only: source of the dialogues that are kept; empty: all. keep_copies: of equal requests by other users. Raises
    UsageError if nothing is read, or nothing is left."""
    read = [d for d in Log(list(source), format) if (d.source or "").startswith(only)]
    if not read:
        hint = (
            "it is a folder of the corpus as published; of several corpora choose one, as docs/how-to/reproduce.md says"
        )
        raise UsageError(f"no dialogue {f'of {only} ' if only else ''}was read as {format}", str(source[0]), hint)
    seen = Seen([] if keep_copies else Log(list(train)))
    kept = [d for d in read if d not in seen]
    if not kept:
        raise UsageError("every dialogue is also in the training data", str(source[0]), "give data that were held back")
    print(f"{len(kept):,} dialogues held back; {len(read) - len(kept):,} copies of training dialogues left out")
    write_log(out[0], kept, force=True)


def with_waterfall(dialogue: Dialogue, base: float = 0.5) -> Dialogue:
    """The dialogue with the waterfall over its implicit signals as an annotator; base: probability of failure without any."""
    signals = [s for s in find_signals(dialogue) if not s.explicit]
    targets = feedback_targets(dialogue, signals, rules(), USER)
    made = []
    for label in outcomes_of(dialogue):
        known = (dict(t.distribution)["failure"] for t in targets if t.at == label.at and t.distribution)
        made.append(_rule(WATERFALL, label, next(known, base)))
    return replace(dialogue, annotations=(*dialogue.annotations, *made))


def betold(train: Sequence[Path], test: Sequence[Path], out: Sequence[Path], only_open: bool = False) -> None:
    """Calls of BETOLD without their recorded feedback, with rates of hang-ups; only_open: calls that do not end with a confirmed date."""
    keys: Mapping[str, Key] = {
        "base rate": lambda _: None,
        "number of turns": lambda d: len(d.turns),
        "last response": last_act,
    }
    base, rates = failure_rates(Log(list(train)), keys, 5.0)
    kept = [d for d in Log(list(test)) if not (only_open and last_act(d) in CONFIRMED)]
    judged = []
    for dialogue in kept:
        label = outcomes_of(dialogue)[0]
        rules = tuple(_rule(name, label, rates[name].get(key(dialogue), base)) for name, key in keys.items())
        judged.append(replace(mask(dialogue, ()), annotations=(*dialogue.annotations, *rules)))
    write_log(out[0], judged, force=True)


def failure_rates(
    train: Log | Sequence[Dialogue], keys: Mapping[str, Key], smoothing: float
) -> tuple[float, dict[str, dict[Hashable, float]]]:
    """Share of failures over all, and by each key: rule -> value of the key -> share, smoothed by so many dialogues at the overall rate."""
    known = [(dialogue, label.name == "failure") for dialogue in train for label in outcomes_of(dialogue)]
    base = sum(failed for _, failed in known) / len(known)
    rates = {}
    for rule, key in keys.items():
        total = Counter(key(dialogue) for dialogue, _ in known)
        failures = Counter(key(dialogue) for dialogue, failed in known if failed)
        rates[rule] = {
            value: (failures[value] + smoothing * base) / (count + smoothing) for value, count in total.items()
        }
    return base, rates


def outcomes_of(dialogue: Dialogue) -> list[Label]:
    """The user's own answers about outcomes of goals."""
    annotation = dialogue.annotation(USER)
    return [x for x in annotation.labels if x.task == "outcome" and isinstance(x.at, AtGoal)] if annotation else []


def last_act(dialogue: Dialogue) -> str:
    """The act that BETOLD's assistant waits after, without its entities."""
    return dialogue.turns[-1].response.split("\n")[-1].partition(":")[0]


def _rule(name: str, outcome: Label, failure: float) -> Annotation:
    both = (("success", 1.0 - failure), ("failure", failure))
    best = max(both, key=lambda pair: pair[1])
    goals = Label("goals", outcome.at, "goal")
    return Annotation(name, "rule", (goals, Label("outcome", outcome.at, best[0], best[1], None, both)))


def one_rater(log: Sequence[Path], out: Sequence[Path]) -> None:
    """A folder with the rated dialogues of a log: `feedback.jsonl` with the ratings of their first rater as recorded feedback and without
    annotations, `rated.jsonl` with the annotation of that rater alone."""
    source = Log(list(log))
    out[0].mkdir(parents=True, exist_ok=True)
    write_log(out[0] / "feedback.jsonl", _by_one_rater(source), source.labels(), force=True)
    rated = (replace(dialogue, annotations=dialogue.annotations[:1]) for dialogue in source if dialogue.annotations)
    write_log(out[0] / "rated.jsonl", rated, source.labels(), force=True)


def _by_one_rater(log: Log) -> Iterator[Dialogue]:
    for dialogue in log:
        if not dialogue.annotations:
            continue
        ratings = {
            at: Feedback(kind="rating", rating=float(label.value), scale=(1.0, 5.0))
            for at, labels in answers(dialogue.annotations[0], "quality").items()
            for label in labels
            if isinstance(label.value, int | float)
        }
        turns = tuple(
            replace(turn, feedback=(ratings[AtTurn(t)],)) if AtTurn(t) in ratings else turn
            for t, turn in enumerate(dialogue.turns)
        )
        whole = (ratings[AtDialogue()],) if AtDialogue() in ratings else ()
        yield replace(dialogue, turns=turns, feedback=whole, annotations=())


SPLICE, WIZARD = "splice", "wizard"
KINDS = ("same domain", "other domains", "any domain")
ONE_GOAL, EACH_ALONE = "all turns one goal", "each turn a goal"


def write_parts(log: Sequence[Path], out: Sequence[Path]) -> None:
    """Write the dialogues of a log that can be one part of a splice."""
    source = Log(list(log))
    write_log(out[0], parts_of(source), source.labels(), force=True)


def write_splices(log: Sequence[Path], out: Sequence[Path], most: int) -> None:
    """Write splices of a log with the two plain divisions as annotators. most: of each corpus and kind."""
    write_log(out[0], map(with_rules, splices(list(Log(list(log))), 0, most)), force=True)


def write_several(log: Sequence[Path], out: Sequence[Path], completed: bool = False) -> None:
    """Write the dialogues that were planned as several tasks; completed: only those with two goals or more that came to their end."""
    source = Log(list(log))
    write_log(out[0], map(with_rules, several(source, completed)), source.labels(), force=True)


def write_bare(log: Sequence[Path], out: Sequence[Path]) -> None:
    """Write a log without annotations, questions, ratings, and what is known of its tasks."""
    write_log(
        out[0], (replace(without_answers(d), feedback=(), targets=(), extra=None) for d in Log(list(log))), force=True
    )


def with_rules(dialogue: Dialogue) -> Dialogue:
    """The dialogue with all turns as one goal, and each turn as a goal, as annotators of kind `rule`; without turns, no goal."""
    turns = tuple(range(len(dialogue.turns)))
    rules = _dividing(ONE_GOAL, [turns] if turns else []), _dividing(EACH_ALONE, [(t,) for t in turns])
    return replace(dialogue, annotations=(*dialogue.annotations, *rules))


def _dividing(name: str, goals: Sequence[tuple[int, ...]]) -> Annotation:
    labels = tuple(Label(GOALS, AtGoal(goal), "goal") for goal in goals)
    return Annotation(name, "rule", labels, () if labels else (NoLabel(GOALS, AtDialogue()),))


def parts_of(log: Log) -> Iterator[Dialogue]:
    """Dialogues that can stand for one goal. Those of MultiWOZ keep to one trip, whatever its domains. USS's parts from
    MultiWOZ and SGD are left out: the first are in MultiWOZ too, the others were written out from templates."""
    for dialogue in log:
        if len(dialogue.turns) >= 2 and not several_tasks(dialogue) and dialogue.source not in ("uss/MWOZ", "uss/SGD"):
            yield replace(dialogue, annotations=(), feedback=(), signals=(), targets=())


def several_tasks(dialogue: Dialogue) -> bool:
    """Whether the dialogue was planned as several tasks one after another, as STAR's reader says."""
    return "tasks" in json.loads(dialogue.extra or "{}")


def several(log: Log, completed: bool) -> Iterator[Dialogue]:
    """Dialogues planned as several tasks; of the completed ones those whose wizard served two goals or more."""
    for dialogue in log:
        if several_tasks(dialogue):
            wizard = dialogue.annotation(WIZARD)
            goals = () if wizard is None else division(wizard) or ()
            done = json.loads(dialogue.extra or "{}").get("completion") == "Complete"
            if not completed or (done and len(goals) >= 2):
                yield replace(dialogue, annotations=() if wizard is None else (wizard,))


def domains_of(dialogue: Dialogue) -> frozenset[str]:
    """Domains as far as the corpus tells: those of MultiWOZ's written goal, that of STAR's task (`bank` of `bank_balance`)."""
    extra = json.loads(dialogue.extra or "{}")
    task = extra.get("task")
    return frozenset(extra.get("goal", ())) | ({task.partition("_")[0]} if task else frozenset())


def corpus_of(dialogue: Dialogue) -> str:
    """`multiwoz` of its parts, else the source."""
    source = str(dialogue.source)
    return "multiwoz" if source.startswith("multiwoz/") else source


def splices(log: Sequence[Dialogue], seed: int, most: int | None = None) -> Iterator[Dialogue]:
    """Two splices for each dialogue, or one where its domains are not known; none where no others fit.

    most: splices of each corpus and kind; those of the dialogues that a stable hash puts first."""
    made: Counter[tuple[str, str]] = Counter()
    domains = {dialogue.id: domains_of(dialogue) for dialogue in log}
    of_corpus: dict[str, list[Dialogue]] = {}
    for dialogue in log:
        of_corpus.setdefault(corpus_of(dialogue), []).append(dialogue)
    for dialogue in sorted(log, key=lambda d: position(seed, d.id)):
        corpus = corpus_of(dialogue)
        for kind in KINDS[:2] if domains[dialogue.id] else KINDS[2:]:
            if most is not None and made[corpus, kind] >= most:
                continue
            rng = Random(f"{seed}/{kind}/{dialogue.id}")
            parts = [dialogue]
            for _ in range(rng.choice((1, 2))):
                ids, of_parts = [part.id for part in parts], [domains[part.id] for part in parts]
                fitting = [
                    other
                    for other in of_corpus[corpus]
                    if other.id not in ids
                    and (kind == KINDS[2] or all(bool(domains[other.id] & x) == (kind == KINDS[0]) for x in of_parts))
                ]
                if fitting:
                    parts.append(rng.choice(fitting))
            if len(parts) > 1:
                made[corpus, kind] += 1
                yield spliced(parts, kind, rng)


def spliced(parts: Sequence[Dialogue], kind: str, rng: Random) -> Dialogue:
    """The parts as one dialogue, with the goals by annotator `splice` and the kind in `extra`."""
    made, goals = join_parts(parts, interleaved([len(part.turns) for part in parts], rng))
    labels = tuple(Label(GOALS, AtGoal(goal), "goal") for goal in goals)
    name = f"{kind}: {made.id}"
    return replace(
        made, id=name, user=None, annotations=(Annotation(SPLICE, "truth", labels),), extra=json.dumps({"kind": kind})
    )


SEGMENT_METRICS = ("superdialseg_f1", "boundary_f1", "boundary_precision", "boundary_recall", "exact_goal_f1")


def segments(
    predictions: Sequence[Path],
    corpus: str,
    split: str,
    reference: str,
    names: Mapping[str, str],
    pairs: Sequence[Sequence[str]] = (),
) -> list[Result]:
    """Boundaries and exact goals of models and rules, with intervals over users and trainings.

    predictions: those of each training. names: annotator -> system. pairs: systems that are compared, [system, baseline]."""
    logs = [sorted(Log([path]), key=lambda dialogue: dialogue.id) for path in predictions]
    logs = [[d for d in log if len(d.turns) > 1 and _goals(d, reference) is not None] for log in logs]
    judged = logs[0]
    users = {user: k for k, user in enumerate(dict.fromkeys(d.user or d.id for d in judged))}
    times = resamples(len(users), 1000, 0)[:, [users[d.user or d.id] for d in judged]]
    found: dict[tuple[str, str], tuple[list[float], list[Array]]] = {}
    for annotator, name in names.items():
        for log in logs if _is_trained(judged[0], annotator) else [judged]:
            counts = np.array([_segment_counts(d, annotator, reference) for d in log], dtype=float)
            for metric, values in zip(
                SEGMENT_METRICS, _segment_scores(np.vstack([np.ones(len(log)), times]) @ counts), strict=True
            ):
                values_of, draws_of = found.setdefault((name, metric), ([], []))
                values_of.append(float(values[0]))
                draws_of.append(values[1:])
    drawn = {key: (*over_trainings(*of_key, 0), len(of_key[0])) for key, of_key in found.items()}
    shown = [(name, "", metric, *of_key) for (name, metric), of_key in drawn.items()]
    for name, baseline in pairs:
        for metric in SEGMENT_METRICS:
            (ours, our_draws, count), (theirs, their_draws, _) = drawn[name, metric], drawn[baseline, metric]
            shown.append((name, baseline, metric, ours - theirs, our_draws - their_draws, count))
    return [
        Result(
            corpus=corpus,
            split=split,
            reference=reference,
            task=GOALS,
            system=name,
            baseline=baseline,
            metric=metric,
            seed=" ".join(map(seed_of, predictions)) if count > 1 else "",
            n=len(judged),
            versions=versions("numpy", "torch"),
            **bootstrap(interval(value, draws).rounded()),
        )
        for name, baseline, metric, value, draws, count in shown
    ]


def _is_trained(dialogue: Dialogue, annotator: str) -> bool:
    annotation = dialogue.annotation(annotator)
    return annotation is not None and annotation.kind == "model"


def _segment_counts(dialogue: Dialogue, annotator: str, reference: str) -> tuple[float, ...]:
    """1, boundary F1 of the dialogue; boundaries of both, given and wanted; goals of both, given and wanted."""
    turns, wanted = len(dialogue.turns), _goals(dialogue, reference) or []
    a = borders(wanted, turns)
    given = _goals(dialogue, annotator) or []
    b = borders(given, turns)
    both = sum(x and y for x, y in zip(a, b, strict=True))
    f1 = 2.0 * both / (sum(a) + sum(b)) if any(a) or any(b) else 0.0
    return 1.0, f1, both, sum(b), sum(a), len({*wanted} & {*given}), len(given), len(wanted)


def _segment_scores(sums: Array) -> list[Array]:
    """In the order of SEGMENT_METRICS."""
    dialogues, f1, both, given, wanted, goals_both, goals_given, goals_wanted = sums.T
    return [
        f1 / dialogues,
        2.0 * both / np.maximum(given + wanted, 1.0),
        both / np.maximum(given, 1.0),
        both / np.maximum(wanted, 1.0),
        2.0 * goals_both / np.maximum(goals_given + goals_wanted, 1.0),
    ]


def _goals(dialogue: Dialogue, annotator: str) -> list[tuple[int, ...]] | None:
    annotation = dialogue.annotation(annotator)
    by_place = {} if annotation is None else answers(annotation, GOALS)
    if AtDialogue() not in by_place:
        return None
    return [label.at.turns for label in by_place[AtDialogue()] if isinstance(label.at, AtGoal)]
