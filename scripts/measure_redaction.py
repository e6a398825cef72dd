"""What --redact finds of phone numbers that people marked, and of generated forms of every kind that it looks for.

    python scripts/measure_redaction.py sgd/dev sgd/test multiwoz/val.json multiwoz/test.json multidogo/data --out results/redaction.json
    python scripts/measure_redaction.py --generated 200 --out results/redaction_forms.json

Marked: SGD's and MultiWOZ's annotators gave the phone numbers in their utterances a span, MultiDoGO's gave theirs to what people typed.
A marked number is found where all of its digits are masked; a masked span is right where it touches a marked number. Generated:
so many examples of each form, in a sentence, drawn by a seed from national conventions and standards (scripts/personal_forms.py).
What of it was seen while the rules were written stands in results/notes.yaml."""

import json
import random
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from command import arguments, parsed, tells_errors, write_table
from personal_forms import FORMS, PLACES
from scipy.stats import binomtest

from labelgen.base.errors import InputError, UsageError
from labelgen.data.redact import mask

Span = tuple[int, int]
Marked = Iterator[tuple[str, list[Span], list[Span]]]
"""Utterance, its phone numbers, and what else in it is marked that is to be masked."""


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    to = arguments(__doc__)
    to.add_argument(
        "corpora", nargs="*", help="parts of SGD, files of MultiWOZ, MultiDoGO's data, as they are published"
    )
    to.add_argument(
        "--generated", type=int, metavar="N", help="measure N generated examples of each form in their place"
    )
    to.add_argument("--seed", type=int, default=0, help="seed of the generated examples (default %(default)s)")
    args = parsed(to, argv)
    if bool(args.corpora) == bool(args.generated):
        raise UsageError(
            "what is to be measured is not clear", "the command line", "name corpora, or give --generated N"
        )
    table = marked(args.corpora, args.out) if args.corpora else generated(args.generated, args.seed, args.out)
    write_table(args.out, table)
    print(json.dumps(table["rows"], indent=1))
    return 0


def marked(corpora: Sequence[str], out: Path | None) -> dict[str, Any]:
    """The table of numbers that people marked, a row for each part."""
    rows: list[list[Any]] = []
    for name in corpora:
        said = masked = right = numbers = found = wrong_words = 0
        for text, spans, others in utterances(Path(name)):
            hidden = mask(text)
            said += 1
            numbers += len(spans)
            found += sum(_is_masked(text, hidden, span) for span in spans)
            for start, end in _runs(text, hidden):
                masked += 1
                touches = any(start < b and a < end for a, b in (*spans, *others))
                right += touches
                wrong_words += 0 if touches else len(text[start:end].split())
        rows.append(
            [
                "/".join(Path(name).parts[-2:]),
                f"{said:,}",
                numbers,
                _share(found, numbers),
                masked,
                _share(right, masked),
                round(1000 * wrong_words / said, 2),
            ]
        )
    # The parts as a reader has them, not as they lie here.
    parts = " ".join(row[0] for row in rows)
    return {
        "order": 52,
        "title": "Redaction of phone numbers",
        "text": "Phone numbers that annotators marked in requests and responses. Found: marked numbers whose digits are all masked; right: "
        "masked spans that lie on a marked number, in MultiDoGO also on a marked address, card or account. Wrong words: masked words off these, for "
        "1,000 utterances; some of them are phone numbers, addresses and cards that nobody marked. The 95% intervals are exact.",
        "command": f"python scripts/measure_redaction.py {parts}" + (f" --out {out}" if out else ""),
        "versions": {"labelgen": version("labelgen"), "phonenumbers": version("phonenumbers")},
        "data": "Requests and responses of SGD and MultiWOZ; MultiDoGO has the requests alone, with its misspelled and incomplete numbers.",
        "columns": ["part", "utterances", "marked numbers", "found", "masked spans", "right", "wrong words"],
        "rows": rows,
    }


def generated(count: int, seed: int, out: Path | None) -> dict[str, Any]:
    """The table of generated forms, a row for each."""
    rng = random.Random(seed)
    rows = []
    for kind, forms in FORMS.items():
        of_kind = 0
        for name, make in forms.items():
            found = 0
            for _ in range(count):
                before, after = rng.choice(PLACES)
                left, written, right = _parts(make(rng))
                text = f"{before}{left}{written}{right}{after}"
                start = len(before) + len(left)
                found += _is_masked(text, mask(text), (start, start + len(written)))
            of_kind += found
            rows.append([kind, name, count, _share(found, count)])
        rows.append([kind, "all", count * len(forms), _share(of_kind, count * len(forms))])
    return {
        "order": 53,
        "title": "Redaction of generated forms",
        "text": "Examples of each form, in sentences, raw JSON and lists, whose letters and digits are all masked; the texts have no locale. The "
        "95% intervals are exact.",
        "command": f"python scripts/measure_redaction.py --generated {count} --seed {seed}"
        + (f" --out {out}" if out else ""),
        "versions": {"labelgen": version("labelgen"), "phonenumbers": version("phonenumbers")},
        "data": "scripts/personal_forms.py. Not looked for: numbers of seven digits alone, numbers in letters, quoted names of addresses.",
        "columns": ["kind", "form", "examples", "found"],
        "rows": rows,
    }


def utterances(path: Path) -> Marked:
    """Each with the spans of its phone numbers. Raises InputError where none of the corpora lies there."""
    if sgd := sorted(path.glob("dialogues_*.json")):
        yield from _sgd(sgd)
    elif path.suffix == ".json" and path.is_file():
        yield from _multiwoz(path)
    elif multidogo := sorted(path.rglob("*.tsv")):
        yield from _multidogo(multidogo)
    else:
        raise InputError(
            "no dialogues_*.json, and no file of MultiWOZ or MultiDoGO, is here",
            str(path),
            "name a part as it is published",
        )


def _sgd(files: Sequence[Path]) -> Marked:
    for file in files:
        for dialogue in json.loads(file.read_text(encoding="utf-8")):
            for turn in dialogue["turns"]:
                slots = [slot for frame in turn["frames"] for slot in frame["slots"] if "phone" in slot["slot"]]
                yield turn["utterance"], sorted({(slot["start"], slot["exclusive_end"]) for slot in slots}), []


def _multiwoz(file: Path) -> Marked:
    for dialogue in json.loads(file.read_text(encoding="utf-8")).values():
        for turn in dialogue["log"]:
            text = turn["text"]
            values = {str(span[2]) for span in turn.get("span_info", ()) if span[1] == "Phone"}
            yield text, sorted((at, at + len(v)) for v in values if v and (at := text.find(v)) >= 0), []


def _multidogo(files: Sequence[Path]) -> Marked:
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            _, _, _, text, labels, *_ = [*line.split("\t"), "", "", "", "", ""]
            words = text.split()
            if len(words) != len(labels.split()):
                continue
            text, end = " ".join(words), -1
            spans: list[Span] = []
            others: list[Span] = []
            for word, label in zip(words, labels.split(), strict=True):
                start, end = end + 1, end + 1 + len(word)
                if "phone" in label.lower() and any(c.isdecimal() for c in word):
                    # Neighboring words of one label are one number.
                    joins = spans and spans[-1][1] == start - 1
                    spans[-1 if joins else len(spans) :] = [(spans[-1][0] if joins else start, end)]
                elif any(kind in label.lower() for kind in ("mail", "card", "account", "ssn")):
                    others.append((start, end))
            yield text, spans, others


def _parts(example: str) -> tuple[str, str, str]:
    """What is before, within and behind `<<` and `>>`."""
    left, sign, rest = example.rpartition("<<")
    written, _, right = rest.partition(">>")
    return (left, written, right) if sign else ("", example, "")


def _is_masked(text: str, hidden: str, span: Span) -> bool:
    """Whether no letter or digit of the span is left."""
    return not any(c.isalnum() and text[k].isalnum() for k, c in enumerate(hidden[span[0] : span[1]], span[0]))


def _runs(text: str, hidden: str) -> Iterator[Span]:
    """What was masked, neighbors together."""
    start = None
    for k in range(len(text) + 1):
        changed = k < len(text) and text[k] != hidden[k]
        if changed and start is None:
            start = k
        elif not changed and start is not None:
            yield start, k
            start = None


def _share(some: int, of: int) -> dict[str, float] | None:
    if not of:
        return None
    low, high = binomtest(some, of).proportion_ci()
    return {"value": round(some / of, 4), "low": round(low, 4), "high": round(high, 4)}


if __name__ == "__main__":
    sys.exit(main())
