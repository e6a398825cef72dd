"""`labelgen review`: what people are to look at, as files for their tools, and their answers back into the log."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import atomic_folder, existing_file, write_text
from labelgen.base.registry import require
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.arguments import add_force, add_reading, fresh_log, open_log, parser
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, with_named, write_log
from labelgen.data.quarantine import Quarantine, told
from labelgen.review.conll import HEADER, conll, read_conll
from labelgen.review.label_studio import TASKS, labeling_config, questions_of, read_answers, task_of
from labelgen.review.merge import NO_FAULTS, AnswerMerger
from labelgen.review.sampling import (
    STRATEGIES,
    draw,
    explain_no_candidates,
    mark_sample,
    model_annotation,
    to_candidate,
)

_ACTIONS = ("sample", "export", "import")

FORMS = ("label-studio", "conll")

TASKS_FILE, CONFIG_FILE, CONLL_FILE = "tasks.json", "config.xml", "turns.conll"


def main(argv: Sequence[str]) -> int:
    words = list(argv)
    if not words or words[0] in ("-h", "--help"):
        _parser().print_help()
        return 0
    require(words[0], _ACTIONS, "action of review")
    actions = {"sample": _sample, "export": _export, "import": _import}
    return actions[words[0]](words[1:])


def _parser() -> argparse.ArgumentParser:
    args = parser(
        "review",
        "Choose what people are to look at, hand it to Label Studio or a text editor, and take their answers back.",
        "labelgen review sample labeled/ sample.jsonl --count 200 --strategy abstained\n"
        "  labelgen review export sample.jsonl review/ --to label-studio\n"
        "  labelgen review import sample.jsonl answers.json answered.jsonl",
    )
    args.add_argument("action", choices=_ACTIONS, help="each has its own --help")
    return args


def _sample(argv: Sequence[str]) -> int:
    args = parser(
        "review sample",
        "Write the dialogues that people are to look at, the first first. abstained: those with a field that the model\n"
        "withheld; informative: those from whose answers most is learned; audit: drawn at random, each as likely, so that an\n"
        "estimate holds for the log. How a dialogue was drawn stands in its field `sample`.",
        "labelgen review sample labeled/ sample.jsonl --count 200 --strategy abstained",
    )
    args.add_argument("log", help="file or folder of labeled records")
    add_reading(args)
    args.add_argument("out", help="file to write: .jsonl or .parquet, or - for standard output")
    args.add_argument("--count", type=int, required=True, metavar="N", help="how many dialogues at most")
    args.add_argument("--strategy", required=True, metavar="NAME", help=", ".join(STRATEGIES))
    args.add_argument("--seed", type=int, default=0, help="of the draw (default %(default)s)")
    _add_model(args)
    add_force(args)
    given = args.parse_args(argv)
    require(given.strategy, STRATEGIES, "way to sample")
    if given.count < 1:
        raise UsageError(f"--count is {given.count}", "the command line", "give --count 1 or more")
    if given.log == "-":
        raise UsageError("the log is read twice, and standard input once", "the log -", "write it to a file first")
    fresh_log(given.out, given.force, [given.log])
    log = open_log(given)
    read = progress(log, "reading", "dialogues")
    found = [
        one for one in (to_candidate(dialogue, given.strategy, given.annotator) for dialogue in read) if one is not None
    ]
    if log.kept and not found:
        what, hint = explain_no_candidates(log, given.strategy, given.annotator)
        raise InputError(what, given.log, hint)
    drawn = {one.dialogue: one for one in draw(found, given.strategy, given.count, given.seed)}
    chosen = [mark_sample(d, drawn[d.id], given.strategy, given.seed) for d in log if d.id in drawn]
    chosen.sort(key=lambda dialogue: drawn[dialogue.id].rank)
    count = write_log(given.out, chosen, log.labels(), given.force)
    turns = sum(len(dialogue.turns) for dialogue in chosen)
    _say(given.out, f"{count:,} dialogues with {turns:,} turns, {given.strategy} of {len(found):,} in {log.kept:,}")
    return 0


def _export(argv: Sequence[str]) -> int:
    args = parser(
        "review export",
        f"Write a sample for people. label-studio: {TASKS_FILE}, with what the model said as predictions, and {CONFIG_FILE},\n"
        f"the project's labeling configuration; conll: {CONLL_FILE}, slots and intents in columns.",
        "labelgen review export sample.jsonl review/ --to label-studio",
    )
    args.add_argument("sample", help="file or folder of records")
    add_reading(args)
    args.add_argument("out", type=Path, help="folder to write")
    args.add_argument("--to", required=True, metavar="FORM", help=" or ".join(FORMS))
    args.add_argument(
        "--task", action="append", metavar="TASK", help=f"ask this only, may be repeated: {', '.join(TASKS)}"
    )
    args.add_argument("--blind", action="store_true", help="show nobody's answers, so that nobody is led by them")
    _add_model(args)
    add_force(args)
    given = args.parse_args(argv)
    require(given.to, FORMS, "form")
    for task in given.task or ():
        require(task, TASKS, "task")
    if given.to == "conll" and given.task:
        raise UsageError("columns hold slots and intents, no other questions", "--task", "leave --task away")
    with atomic_folder(given.out, given.force) as folder:
        log = open_log(given, "sample")
        dialogues = list(with_named(log, [given.annotator], "--annotator"))
        files, left_out = (_columns if given.to == "conll" else _tasks)(given, log, dialogues)
        for name, text in files.items():
            write_text(folder / name, text)
    for name in files:
        print_lines(given.out / name)
    print_lines(f"{len(dialogues) - left_out.total():,} of {len(dialogues):,} dialogues")
    for reason, count in left_out.items():
        print_lines(f"{count:,} left out: {reason}")
    return 0


def _tasks(given: argparse.Namespace, log: Log, dialogues: Sequence[Dialogue]) -> tuple[dict[str, str], Counter[str]]:
    left_out = Counter("no turns to be shown" for dialogue in dialogues if not dialogue.turns)
    asked = questions_of(dialogues, log.labels(), given.task or TASKS)
    made = [task_of(d, model_annotation(d, given.annotator), asked, given.blind) for d in dialogues if d.turns]
    tasks = msgspec.json.format(msgspec.json.encode(made), indent=1).decode() + "\n"
    return {TASKS_FILE: tasks, CONFIG_FILE: labeling_config(asked)}, left_out


def _columns(given: argparse.Namespace, log: Log, dialogues: Sequence[Dialogue]) -> tuple[dict[str, str], Counter[str]]:
    left_out: Counter[str] = Counter()
    blocks = [f"{HEADER}\n"]
    for dialogue in dialogues:
        text = conll(dialogue, None if given.blind else model_annotation(dialogue, given.annotator))
        if not text:
            left_out["slots overlap" if text is None else "no turns to be shown"] += 1
        blocks.append(text or "")
    return {CONLL_FILE: "".join(blocks)}, left_out


def _import(argv: Sequence[str]) -> int:
    args = parser(
        "review import",
        "Write every record of the log with what people answered, each person as an annotator. What cannot be taken is set\n"
        "aside with a reason.",
        "labelgen review import sample.jsonl answers.json answered.jsonl --quarantine bad.jsonl",
    )
    args.add_argument("log", help="the file or folder of records that was exported, or the log it was drawn from")
    add_reading(args)
    args.add_argument("answers", type=Path, help="Label Studio's export in the format JSON, or a file of columns")
    args.add_argument("out", help="file to write: .jsonl or .parquet, or - for standard output")
    args.add_argument(
        "--from", dest="form", default=FORMS[0], metavar="FORM", help=f"{' or '.join(FORMS)} (default %(default)s)"
    )
    args.add_argument("--annotator", metavar="NAME", help="who filled in the columns; Label Studio tells it itself")
    add_force(args)
    given = args.parse_args(argv)
    require(given.form, FORMS, "form")
    if (given.form == "conll") != (given.annotator is not None):
        hint = "give --annotator NAME" if given.form == "conll" else "leave --annotator away"
        raise UsageError("columns do not tell who filled them in, Label Studio does", "--annotator", hint)
    existing_file(given.answers)
    fresh_log(given.out, given.force, [given.log])
    # What is set aside of the log and of the answers stands in one file.
    bad = Quarantine(given.quarantine) if given.quarantine is not None else None
    given.quarantine = bad
    try:
        return _merge(given, open_log(given), bad)
    finally:
        if bad is not None:
            bad.close()


def _merge(given: argparse.Namespace, log: Log, bad: Quarantine | None) -> int:
    ignored: Counter[str] = Counter()
    answers = (
        read_answers(given.answers, ignored) if given.form != "conll" else read_conll(given.answers, given.annotator)
    )
    merge = AnswerMerger(answers, lambda item: bad.add(item) if bad is not None else None)

    def merged() -> Iterator[Dialogue]:
        yield from progress(merge(log), "review", "dialogues")
        _judge(merge, given)

    count = write_log(given.out, merged(), log.labels(), given.force)
    for annotator, dialogues in sorted(merge.added.items()):
        _say(given.out, f"{annotator}: {dialogues:,} dialogues")
    _say(given.out, f"{merge.added.total():,} annotations put into {count:,} records")
    if ignored:
        _say(
            given.out, f"not asked by labelgen, left out: {', '.join(f'{n} {c:,}' for n, c in sorted(ignored.items()))}"
        )
    if not merge.added and not merge.reasons:
        what = f"{given.answers} holds no answers: it is what was given to people, or nobody has answered yet"
        print_lines(f"{what}; export it once they have", file=sys.stderr)
    if merge.reasons:
        print_lines(
            told(merge.reasons, f"in {bad}" if bad is not None else "--quarantine FILE keeps them"), file=sys.stderr
        )
    return 0


def _judge(merge: AnswerMerger, given: argparse.Namespace) -> None:
    """Raises InputError where more annotations than allowed are at fault."""
    faults, good = merge.faults, merge.added.total()
    if merge.first is None or faults <= given.max_bad_rate * (faults + good):
        return
    counts = ", ".join(f"{r} {n:,}" for r, n in merge.reasons.most_common() if r not in NO_FAULTS)
    raise InputError(
        f"{faults:,} of {faults + good:,} annotations cannot be taken ({faults / (faults + good):.1%}), more than the "
        f"{given.max_bad_rate:.1%} allowed: {counts}",
        f"the first: {merge.first.where()}: {merge.first.reason}",
        "fix the answers, or raise --max-bad-rate to take the others",
    )


def _add_model(to: argparse.ArgumentParser) -> None:
    to.add_argument("--annotator", metavar="NAME", help="whose labels are looked at (default: the first model's)")


def _say(out: str, line: str) -> None:
    """To standard output, or to standard error where that holds the records."""
    print_lines(line, file=sys.stderr if out == "-" else sys.stdout)
