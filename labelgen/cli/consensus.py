"""labelgen consensus: one annotation made from several, and how far they agree."""

import argparse
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from labelgen.cli.arguments import add_force, add_log, add_ratings, open_log, parser
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan, Label, scope
from labelgen.data.log import write_log

_LEAST_FOR_KAPPA = 30
"""Answers that a pair must share; names that hold for one dialogue only, such as r1, make pairs of nobody."""


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    from labelgen.consensus.vote import CONSENSUS, consensus
    from labelgen.evaluation.asked import asked
    from labelgen.evaluation.ceiling import Ceiling
    from labelgen.evaluation.question import answered, concerns, exclusive_names
    from labelgen.evaluation.trials import Setting, named, people_of

    setting = Setting(CONSENSUS, *named(args.people), ratings=args.ratings)
    questions = asked({})
    exclusive = exclusive_names(questions)
    judged: dict[str, list[dict[str, tuple[Label, ...]]]] = {q.name: [] for q in questions}
    ties: Counter[str] = Counter()
    ceiling = Ceiling(questions, setting)

    def decided() -> Iterator[Dialogue]:
        for dialogue in open_log(args):
            people = people_of(dialogue, setting)
            result = consensus(people, exclusive, args.least, args.ratings)
            for question in questions:
                ties[question.name] += sum(concerns(field, question) for field in result.ties)
                fields: dict[Any, dict[str, tuple[Label, ...]]] = {}
                for annotation in people:
                    for at, labels in answered(annotation, question).items():
                        fields.setdefault(at, {})[annotation.annotator] = labels
                judged[question.name] += fields.values()
            kept = tuple(a for a in dialogue.annotations if a.annotator != CONSENSUS)
            agreed = replace(dialogue, annotations=(*kept, result.annotation))
            ceiling.add(agreed)
            yield agreed

    count = write_log(args.out, decided(), force=args.force)
    print(f"{count:,} dialogues written to {args.out}")
    print(
        f"{'question':<20} {'judged twice':>12} {'ties':>6} {'alpha':>7} {'ordinal':>8} {'kappa':>7} {'ceiling':>8} {'person':>7}"
    )
    for question in questions:
        if any(judged[question.name]):
            numbers = ceiling.of(question.name) or (math.nan, math.nan)
            most, one = ("-" if math.isnan(n) else f"{n:.3f}" for n in numbers)
            print(f"{_agreement(question.name, judged[question.name], ties[question.name])} {most:>8} {one:>7}")
    return 0


def _parser() -> argparse.ArgumentParser:
    to = parser(
        "consensus",
        "Add the consensus of a log's people to each dialogue, by vote; ties are left absent and counted. Prints, for "
        "each question, Krippendorff's alpha (nominal, and ordinal for ratings) and the mean kappa of pairs "
        f"who share {_LEAST_FOR_KAPPA} answers or more; and, where three or more answered, the share of whole answers that one "
        "who says what most say gets right against the others (the ceiling), and that a single person does.",
        "labelgen consensus annotated.jsonl agreed.jsonl",
    )
    add_log(to)
    to.add_argument("out", help="the log to write, .jsonl or .parquet")
    to.add_argument("--people", default="kind=person", metavar="WHO", help="names with commas (default %(default)s)")
    to.add_argument(
        "--least", type=int, default=2, metavar="N", help="people who must answer a field (default %(default)s)"
    )
    add_ratings(to)
    add_force(to)
    return to


def _agreement(name: str, judged: Sequence[Mapping[str, tuple[Label, ...]]], ties: int) -> str:
    from labelgen.consensus.agreement import cohen_kappas, krippendorff_alpha

    names = [{who: _answer(labels) for who, labels in said.items()} for said in judged]
    ratings = [
        {who: labels[0].value for who, labels in said.items() if labels and isinstance(labels[0].value, (int, float))}
        for said in judged
    ]
    kappas = [
        (kappa, items)
        for kappa, items in cohen_kappas(names).values()
        if items >= _LEAST_FOR_KAPPA and not math.isnan(kappa)
    ]
    weight = sum(items for _, items in kappas)
    kappa = sum(k * items for k, items in kappas) / weight if weight else float("nan")
    numbers = (krippendorff_alpha(names), krippendorff_alpha(ratings, "ordinal"), kappa)
    alpha, ordinal, mean = ("-" if math.isnan(n) else f"{n:.3f}" for n in numbers)
    twice = sum(len(said) >= 2 for said in judged)
    return f"{name:<20} {twice:>12,} {ties:>6,} {alpha:>7} {ordinal:>8} {mean:>7}"


def _answer(labels: Sequence[Label]) -> Hashable:
    """An answer apart from the field it stands in, so that the same answer to two fields is one category: names; of
    spans and goals the place within the field too."""
    return frozenset((_within(label), label.name) for label in labels)


def _within(label: Label) -> Hashable:
    if scope(label).at == label.at:
        return None
    return (label.at.start, label.at.end) if isinstance(label.at, AtSpan) else label.at
