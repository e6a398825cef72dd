"""What it costs to label a log of a billion turns, on paper: labelgen by its measured speed, beside an LLM by its price.

    python scripts/cost_of_a_log.py runs/public/sgd-dev/sgd-dev.jsonl --model runs/public/sgd-context/model \\
        --speed results/speed.json --out results/cost.json

Measured: turns a second (`turns_a_s` in the files of --speed, which scripts/bench_labeling.py writes), and the tokens of the
log by the model's tokenizer: of its texts, of the names and descriptions of all labels that its sources could give, and of
its annotated labels as JSON. Assumed: every price, the tokens of instructions, a minute of a person; that cores add up (one
process a core); and that an LLM is asked once a dialogue, with the label names each time, and answers with the labels and
nothing else. LLMs cut texts into other tokens, some fewer of plain English. Discounts for batches, for repeated prompts or
for unused machines are left out on both sides. The defaults are prices as they were listed in 2024, round: look yours up.
The prices and times of --llm and --speed may be given several times."""

import argparse
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from command import write_table

from labelgen import __version__
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.features.text import label_text
from labelgen.labeling.run import HUMAN_MIN
from labelgen.model.folder import load_model
from labelgen.model.label_model import LabelModel

LLMS = ("gpt-4o-mini=0.15:0.60", "gpt-4o=2.50:10.00")
"""OpenAI's list prices of 2024, in USD a million tokens in and out."""


def main(argv: Sequence[str] | None = None) -> int:
    to = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    to.add_argument("log", help="file of annotated records, whose tokens are counted")
    to.add_argument("--model", type=Path, required=True, help="model folder, for its tokenizer and label names")
    to.add_argument("--speed", type=Path, action="append", required=True, help="file of measured speeds")
    to.add_argument("--turns", type=float, default=1e9, help="of the log that is paid for (default %(default)g)")
    to.add_argument("--core-hour-usd", type=float, default=0.05, help="of one core (default %(default)s)")
    to.add_argument("--gpu-hour-usd", type=float, default=3.0, help="of one GPU (default %(default)s)")
    to.add_argument(
        "--llm", action="append", metavar="NAME=IN:OUT", help=f"USD a million tokens (default {' '.join(LLMS)})"
    )
    to.add_argument(
        "--instructions", type=int, default=300, help="tokens said to an LLM each time (default %(default)s)"
    )
    to.add_argument("--out", type=Path, metavar="OUT", help="write the table here, as results/ has it")
    to.add_argument("--order", type=int, default=31, help="of the table among the others (default %(default)s)")
    args = to.parse_args(argv)
    log = measured(args.log, load_model(args.model))
    table = {
        "order": args.order,
        "title": f"What labeling {args.turns:,.0f} turns costs, on paper",
        "command": _command(args),
        "versions": {"labelgen": __version__, "python": platform.python_version()},
        "columns": ["by", "turns a second", "hours", "USD", "measured", "assumed"],
        "rows": [*_labelgen(args), *_llms(args, log), _people(args, log)],
        "text": "A calculation and no measurement: each row says what in it was measured and what assumed; "
        "`scripts/cost_of_a_log.py --help` says how. Prices are assumptions, those of LLMs list prices of 2024 (`--llm NAME=IN:OUT` takes others). Whether the labels are as good is another question.",
        "data": f"{log['dialogues']:,} dialogues, {log['turns'] / log['dialogues']:.1f} turns each. "
        f"{log['text'] / log['turns']:.1f} tokens of text a turn, {log['names'] / log['dialogues']:,.0f} of label names a dialogue, "
        f"{log['labels'] / log['dialogues']:,.0f} of labels as JSON a dialogue.",
        "log": log,
    }
    print(json.dumps(table, indent=1))
    write_table(args.out, table)
    return 0


def measured(path: str, model: LabelModel) -> dict[str, int]:
    """Dialogues, turns, and tokens without special ones: of requests and responses (`text`); of the labels that each
    dialogue's source could have, one list a dialogue (`names`); of the labels of its first annotation (`labels`)."""
    tokenizer = model.tokenizer.tokenizer
    found = dict.fromkeys(("dialogues", "turns", "text", "names", "labels"), 0)
    names: dict[str | None, int] = {}

    def tokens(texts: Sequence[str]) -> int:
        return sum(map(len, tokenizer(list(texts), add_special_tokens=False)["input_ids"])) if texts else 0

    for dialogue in Log([path]):
        if dialogue.source not in names:
            names[dialogue.source] = tokens(list(_names(model, dialogue.source)))
        found["dialogues"] += 1
        found["turns"] += len(dialogue.turns)
        found["text"] += tokens([text for turn in dialogue.turns for text in (turn.request, turn.response)])
        found["names"] += names[dialogue.source]
        found["labels"] += tokens([answer(dialogue)])
    return found


def _names(model: LabelModel, source: str | None) -> Iterator[str]:
    for task in model.tasks.values():
        for k in task.labels.of_source(source):
            yield label_text(task.labels.names[k].name, task.labels.names[k].description)


def answer(dialogue: Dialogue) -> str:
    """The labels of the first annotation, as short as JSON has them."""
    labels = dialogue.annotations[0].labels if dialogue.annotations else ()
    return msgspec.json.encode([[label.task, label.at, label.name] for label in labels]).decode()


def _labelgen(args: argparse.Namespace) -> Iterator[list[Any]]:
    for path in args.speed:
        speed = json.loads(path.read_text(encoding="utf-8"))
        unit = speed.get("unit", "core")
        price = args.gpu_hour_usd if unit == "GPU" else args.core_hour_usd
        for name, turns_a_s in speed["turns_a_s"].items():
            hours = args.turns / turns_a_s / 3600
            yield [
                f"labelgen, {name}, one {unit} ({path.stem})",
                f"{turns_a_s:,.0f}",
                f"{hours:,.0f} {unit}-hours",
                f"{hours * price:,.0f}",
                "turns a second, from file to file",
                f"{price:g} USD a {unit}-hour",
            ]


def _llms(args: argparse.Namespace, log: dict[str, int]) -> Iterator[list[Any]]:
    given = log["text"] + log["names"] + args.instructions * log["dialogues"]
    for text in args.llm or LLMS:
        name, _, prices = text.partition("=")
        dear_in, _, dear_out = prices.partition(":")
        usd = (given * float(dear_in) + log["labels"] * float(dear_out)) / 1e6 / log["turns"]
        yield [
            name,
            None,
            None,
            f"{usd * args.turns:,.0f}",
            f"{given / log['turns'] - args.instructions * log['dialogues'] / log['turns']:.0f} tokens in, "
            f"{log['labels'] / log['turns']:.0f} out a turn",
            f"{dear_in} and {dear_out} USD a million; {args.instructions} tokens of instructions a dialogue",
        ]


def _people(args: argparse.Namespace, log: dict[str, int]) -> list[Any]:
    hours = args.turns / log["turns"] * log["dialogues"] * HUMAN_MIN / 60
    return ["a person", None, f"{hours:,.0f}", None, "turns a dialogue", f"{HUMAN_MIN:g} minutes a dialogue"]


def _command(args: argparse.Namespace) -> str:
    words = ["python scripts/cost_of_a_log.py", args.log, "--model", str(args.model)]
    words += [word for path in args.speed for word in ("--speed", str(path))]
    words += [word for text in args.llm or () for word in ("--llm", text)]
    words += ["--out", str(args.out)] if args.out else []
    words += [f"--turns {args.turns:g} --core-hour-usd {args.core_hour_usd:g} --gpu-hour-usd {args.gpu_hour_usd:g}"]
    return " ".join((*words, f"--instructions {args.instructions}"))


if __name__ == "__main__":
    sys.exit(main())
