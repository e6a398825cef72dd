"""`labelgen feedback ask`: which turns of a log to ask "did I answer your question?" about, under a budget."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import write_text
from labelgen.base.registry import require, resolve
from labelgen.base.terminal import progress
from labelgen.cli.arguments import add_force, add_reading, fresh_log, open_log, parser
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.feedback.asking import STRATEGIES, Question, TurnBelief, choose, turn_beliefs
from labelgen.feedback.items import turn_items
from labelgen.feedback.posterior import FITTED_METHODS, METHODS, Method
from labelgen.feedback.signal import with_signals
from labelgen.report.terminal import PlainConsole

CONTESTED = 0.25
"""Signals and model disagree where their probabilities lie this far apart."""

_ROWS = 12


def ask(argv: Sequence[str]) -> int:
    given = _parsed(argv)
    fresh_log(given.out, given.force, [given.log])
    log = open_log(given)
    method = _method(given, log)
    found = [
        place
        for d in progress(_heard(log), "reading", "dialogues")
        for place in turn_beliefs(d, method, given.annotator)
    ]
    if given.annotator is not None and all(place.model is None for place in found):
        raise InputError(
            f"no turn's quality was judged by a model {given.annotator}",
            given.log,
            "`labelgen label` adds a model's annotation; without --annotator the first one is taken",
        )
    questions = choose(found, given.budget, given.strategy, given.per_dialogue, given.seed)
    lines = (json.dumps(_plain(question), ensure_ascii=False) + "\n" for question in questions)
    if given.out == "-":
        sys.stdout.writelines(lines)
    else:
        write_text(Path(given.out), "".join(lines))
    _show(questions, found, PlainConsole(stderr=given.out == "-", highlight=False))
    return 0


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    args = parser(
        "feedback ask",
        'Pick the turns of a log to ask "did I answer your question?" about: those whose answers are expected to tell most of\n'
        "all turns that look alike. Signals are those of the record, else those that the detectors find; a model's annotation\n"
        "of quality is used where the record has one.",
        "labelgen feedback ask log.jsonl questions.jsonl --budget 200",
    )
    args.add_argument("log", help="file or folder of records; - reads standard input")
    add_reading(args)
    args.add_argument("out", help="file to write, JSON Lines, the first to be asked first; or - for standard output")
    args.add_argument("--budget", type=int, required=True, metavar="N", help="how many questions may be asked")
    args.add_argument("--strategy", default="gain", help=f"{' or '.join(STRATEGIES)} (default %(default)s)")
    args.add_argument(
        "--per-dialogue", type=int, default=1, metavar="N", help="most questions in one dialogue (default %(default)s)"
    )
    names = (*METHODS, *FITTED_METHODS)
    args.add_argument(
        "--method", default="em", help=f"what signals are believed by: {', '.join(names)} (default %(default)s)"
    )
    args.add_argument("--annotator", metavar="NAME", help="whose quality of turns is used (default: the first model's)")
    args.add_argument("--seed", type=int, default=0, help="of the choice between equals (default %(default)s)")
    add_force(args)
    given = args.parse_args(argv)
    require(given.strategy, STRATEGIES, "strategy")
    require(given.method, names, "method")
    for name in ("budget", "per_dialogue"):
        if getattr(given, name) < 1:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is {getattr(given, name)}", "the command line", f"give {option} 1 or more")
    if given.log == "-" and given.method in FITTED_METHODS:
        raise UsageError(
            f"--method {given.method} reads the log twice, and standard input can be read once",
            "the log -",
            f"write the records to a file first, or give --method {' or '.join(METHODS)}",
        )
    return given


def _method(given: argparse.Namespace, log: Log) -> Method:
    if given.method in METHODS:
        method: Method = resolve(METHODS, given.method, "method")
        return method
    heard = progress(_heard(log), "learning", "dialogues")
    learned: Method = resolve(FITTED_METHODS, given.method, "method")(
        item for dialogue in heard for item in turn_items(dialogue, dialogue.signals)
    )
    return learned


def _heard(log: Log) -> Iterator[Dialogue]:
    return (dialogue if dialogue.signals else with_signals(dialogue) for dialogue in log)


def _plain(question: Question) -> dict[str, Any]:
    """One line of the output. good: the mean believed of its pool; alike: how many turns the answer tells of."""
    place, pool = question.turn, question.pool
    return {
        "dialogue": place.dialogue,
        "turn": place.turn,
        "user": place.user,
        "gain": round(question.gain, 6),
        "good": round(pool.rate()[0], 4),
        "signals": None if place.signals is None else round(place.signals, 4),
        "model": None if place.model is None else round(place.model, 4),
        "alike": pool.turns,
        "answers": pool.good + pool.bad,
        "reasons": _reasons(question),
    }


def _reasons(question: Question) -> list[str]:
    """In words, why this turn."""
    place, pool = question.turn, question.pool
    mean, _ = pool.rate()
    found = [f"{mean:.0%} of {pool.turns:,} turns alike ({_alike(place)}) are believed good"]
    if pool.signals is None and pool.model is None:
        found.append("neither signals nor a model tell anything of them")
    if pool.signals is not None and pool.model is not None and abs(pool.signals - pool.model) >= CONTESTED:
        found.append(f"signals say {pool.signals:.0%}, the model {pool.model:.0%}")
    if pool.good + pool.bad:
        found.append(f"{pool.good + pool.bad:,} answers about them are known, {pool.good:,} of them yes")
    if question.asked:
        found.append(f"{question.asked:,} questions about them come first")
    return found


def _alike(place: TurnBelief) -> str:
    said = ", ".join(f"{vote} by {kind}" for kind, vote in place.votes) or "silence"
    if place.model is not None:
        return f"{said}; about as good by the model"
    return "; ".join((said, place.domain or "no domain", " and ".join(place.intents) or "no intent"))


def _show(questions: Sequence[Question], found: Sequence[TurnBelief], console: Console) -> None:
    """The pools asked about most, and what the questions cost and are expected to gain in all."""
    by_pool: dict[tuple[object, ...], list[Question]] = {}
    for question in questions:
        by_pool.setdefault(question.turn.alike(), []).append(question)
    table = Table(box=None, pad_edge=False)
    for name in ("questions", "gain", "good", "turns"):
        table.add_column(name, justify="right")
    table.add_column("turns alike")
    most = sorted(by_pool.values(), key=len, reverse=True)
    for own in most[:_ROWS]:
        pool, gain = own[0].pool, sum(question.gain for question in own)
        row = (f"{len(own):,}", f"{gain:.2f}", f"{pool.rate()[0]:.2f}", f"{pool.turns:,}", _alike(own[0].turn))
        table.add_row(*row)
    if most:
        console.print(table)
    if len(most) > _ROWS:
        console.print(f"... and {len(most) - _ROWS:,} more pools")
    users = {(question.turn.user, question.turn.user or question.turn.dialogue) for question in questions}
    could = sum(place.askable and not place.asked for place in found)
    console.print(
        f"{len(questions):,} questions to {len(users):,} users, of {could:,} turns in {len(found):,} that can be asked about; "
        f"expected gain {sum(question.gain for question in questions):.2f}"
    )
