"""What --redact finds of phone numbers that people marked: SGD's annotators gave every one in its utterances a span.

    python scripts/measure_redaction.py sgd/dev sgd/test --out results/redaction.json

A masked span is right where it covers a marked number or lies within one; a marked number is found where one masked span
covers all of it. E-mail addresses and cards stand in none of these utterances, so nothing is said of them; that any other
text is masked counts as wrong. Nothing was set by these utterances but what stands in the table."""

import json
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from command import arguments, parsed, tells_errors, write_table
from scipy.stats import binomtest

from labelgen.base.errors import InputError
from labelgen.data.redact import find

Span = tuple[int, int]


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    to = arguments(__doc__)
    to.add_argument("folders", nargs="+", help="parts of SGD as it is published, such as sgd/dev")
    args = parsed(to, argv)
    table = measured(args.folders, args.out)
    write_table(args.out, table)
    print(json.dumps(table["rows"], indent=1))
    return 0


def measured(folders: Sequence[str], out: Path | None) -> dict[str, Any]:
    """The table, a row for each part."""
    rows = []
    for folder in folders:
        said = masked = right = marked = found = 0
        for text, numbers in utterances(Path(folder)):
            spans = set(find(text))
            said += 1
            masked += len(spans)
            right += sum(any(_within(n, s) or _within(s, n) for n in numbers) for s in spans)
            marked += len(numbers)
            found += sum(any(_within(n, s) for s in spans) for n in numbers)
        rows.append([Path(folder).name, f"{said:,}", masked, _share(right, masked), marked, _share(found, marked)])
    # The folders as a reader has them, not as they lie here.
    parts = " ".join(f"sgd/{Path(folder).name}" for folder in folders)
    return {
        "order": 52,
        "title": "Redaction of phone numbers",
        "text": "Phone numbers that SGD's annotators marked in requests and responses. Right: masked spans that lie on a "
        "marked number; found: marked numbers that are masked whole. The 95% intervals are exact.",
        "command": f"python scripts/measure_redaction.py {parts}" + (f" --out {out}" if out else ""),
        "versions": {"labelgen": version("labelgen")},
        "data": "E-mail addresses and payment cards stand in none of the utterances.",
        "columns": ["part of SGD", "utterances", "masked spans", "right", "marked numbers", "found"],
        "rows": rows,
    }


def utterances(folder: Path) -> Iterator[tuple[str, list[Span]]]:
    """Each with the spans of its phone numbers. Raises InputError where the folder holds no such files."""
    files = sorted(folder.glob("dialogues_*.json"))
    if not files:
        raise InputError("no dialogues_*.json are here", str(folder), "name a part of SGD as it is published")
    for file in files:
        for dialogue in json.loads(file.read_text(encoding="utf-8")):
            for turn in dialogue["turns"]:
                slots = [slot for frame in turn["frames"] for slot in frame["slots"] if "phone" in slot["slot"]]
                yield turn["utterance"], sorted({(slot["start"], slot["exclusive_end"]) for slot in slots})


def _within(inner: Span, outer: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _share(some: int, of: int) -> dict[str, float]:
    low, high = binomtest(some, of).proportion_ci()
    return {"value": round(some / of, 4), "low": round(low, 4), "high": round(high, 4)}


if __name__ == "__main__":
    sys.exit(main())
