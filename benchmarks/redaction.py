"""What redaction masks: phone numbers that annotators marked, and generated examples of every form.

Marked: SGD and MultiWOZ have spans of phone numbers, MultiDoGO labels the words that people typed. A marked number is found if all of its
digits are masked; a masked span is right if it touches a marked number. Generated: examples of each form in a sentence, drawn from
national conventions and standards.
"""

import ipaddress
import json
import random
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labelgen.base.errors import InputError
from labelgen.data.redact import mask

from .results import Cell, Result, binomial, versions

CORPORA = {"sgd": "SGD", "multiwoz": "MultiWOZ", "multidogo": "MultiDoGO"}
"""Published folder -> name of the corpus."""
Span = tuple[int, int]
Marked = Iterator[tuple[str, list[Span], list[Span]]]
"""Utterance, its phone numbers, and what else in it is marked that is to be masked."""


def marked(paths: Sequence[Path]) -> list[Result]:
    """Rows of numbers that people marked, of each published part."""
    rows: list[Result] = []
    for path in paths:
        count = masked = right = numbers = hits = wrong_words = 0
        for text, spans, others in utterances(path):
            hidden = mask(text)
            count += 1
            numbers += len(spans)
            hits += sum(_is_masked(text, hidden, span) for span in spans)
            for start, end in _runs(text, hidden):
                masked += 1
                touches = any(start < b and a < end for a, b in (*spans, *others))
                right += touches
                wrong_words += 0 if touches else len(text[start:end].split())
        corpus = CORPORA[path.parts[-2]]
        for metric, n, cell in (
            ("recall", numbers, binomial(hits, numbers)),
            ("precision", masked, binomial(right, masked)),
            ("wrong_words_per_1000_utterances", count, {"value": round(1000 * wrong_words / count, 2)}),
        ):
            rows.append(_row(corpus, "phone numbers", metric, n, cell, split=path.stem))
    return rows


def _row(corpus: str, task: str, metric: str, n: int, cell: Cell, **fields: Any) -> Result:
    used = versions("phonenumbers")
    return Result(corpus=corpus, task=task, system="rules", metric=metric, n=n, versions=used, **cell, **fields)


def generated(count: int, seed: int) -> list[Result]:
    """Rows of generated forms."""
    rng = random.Random(seed)
    rows = []
    for kind, forms in FORMS.items():
        of_kind = 0
        for name, make in forms.items():
            hits = 0
            for _ in range(count):
                before, after = rng.choice(PLACES)
                left, written, right = _parts(make(rng))
                text = f"{before}{left}{written}{right}{after}"
                start = len(before) + len(left)
                hits += _is_masked(text, mask(text), (start, start + len(written)))
            of_kind += hits
            rows.append(_row("generated texts", kind, "recall", count, binomial(hits, count), setting=name))
        total = count * len(forms)
        rows.append(_row("generated texts", kind, "recall", total, binomial(of_kind, total), setting="all"))
    return rows


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


Make = Callable[[random.Random], str]

PLACES = (
    ("", ""),
    ("you can reach me at ", " after six"),
    ("it is ", "."),
    ("use ", ", please"),
    ("(", ")"),
    ("mine:", ""),
    ("first line\n", "\nlast line"),
    ('{"text": "it is ', '"}'),
    ('{"text": "here it is:\\n', '\\nthanks"}'),
    ('["', '", "other"]'),
)
"""What stands before and after an example."""


def digits(pattern: str) -> Make:
    """`D` is any digit, `N` one from 2 to 9."""

    def make(rng: random.Random) -> str:
        return "".join({"D": rng.choice("0123456789"), "N": rng.choice("23456789")}.get(c, c) for c in pattern)

    return make


def one_of(*patterns: str) -> Make:
    return lambda rng: digits(rng.choice(patterns))(rng)


def respaced(make: Make, old: str, new: str) -> Make:
    return lambda rng: make(rng).translate({ord(c): new for c in old})


def in_digits(make: Make, zero: str) -> Make:
    return lambda rng: make(rng).translate({ord("0") + k: chr(ord(zero) + k) for k in range(10)})


US = one_of("(NDD) NDD-DDDD", "NDD-NDD-DDDD", "NDD.NDD.DDDD", "NDD NDD DDDD")
NATIONAL = one_of(
    "020 7946 DDDD", "(0161) 496 DDDD", "07700 9DDDDD", "030 1234DDDD", "0711 98DD-D", "0171/23DDDDD", "01 42 NN DD DD", "06 12 DD DD DD", "612 DD DD DD",
    "06 6982 DDDD", "044 668 DD DD", "12 NN DD DD", "08-123 DD DD", "(02) 5550 DDDD", "0491 570 DDD", "03-NDDD-DDDD", "090-1234-DDDD", "(11) 91234-DDDD",
    "138 0013 DDDD", "098765 4DDDD", "02-312-DDDD", "8 (495) 123-DD-DD", "0532 123 DD DD", "55 1234 DDDD",
)  # fmt: skip
ABROAD = one_of(
    "+1 NDD NDD DDDD", "+1-NDD-NDD-DDDD", "+1 (NDD) NDD-DDDD", "+44 20 7946 DDDD", "+44 (0)20 7946 DDDD", "+49 30 1234DDDD", "+49 (0) 711 98DDDD",
    "+33 1 42 NN DD DD", "+39 06 6982 DDDD", "+34 612 DD DD DD", "+41 44 668 DD DD", "+81-3-NDDD-DDDD", "+86 138 0013 DDDD", "+91 98765 4DDDD",
    "+55 11 91234-DDDD", "+61 2 5550 DDDD", "+7 495 123-DD-DD", "+353 1 234 DDDD", "+65 6123 DDDD",
)  # fmt: skip


def with_check_digit(number: str) -> str:
    for last in string.digits:
        doubled = [int(c) * (2 if k % 2 else 1) for k, c in enumerate(reversed(number + last))]
        if sum(d - 9 * (d > 9) for d in doubled) % 10 == 0:
            return number + last
    raise AssertionError(number)


def card(separator: str) -> Make:
    def make(rng: random.Random) -> str:
        start, length, groups = rng.choice(
            (
                ("4", 16, (4, 4, 4, 4)),
                ("4", 13, (4, 3, 3, 3)),
                (f"5{rng.randint(1, 5)}", 16, (4, 4, 4, 4)),
                (str(rng.randint(2221, 2720)), 16, (4, 4, 4, 4)),
                (rng.choice(("34", "37")), 15, (4, 6, 5)),
                ("6011", 16, (4, 4, 4, 4)),
                (str(rng.randint(3528, 3589)), 16, (4, 4, 4, 4)),
                ("36", 14, (4, 6, 4)),
                ("62", 19, (6, 13)),
            )
        )
        number = with_check_digit(start + "".join(rng.choices(string.digits, k=length - len(start) - 1)))
        parts, at = [], 0
        for size in groups:
            parts.append(number[at : at + size])
            at += size
        return separator.join(parts)

    return make


REGISTRY = {
    "AT": "n16", "BE": "n12", "CH": "n5c12", "CZ": "n20", "DE": "n18", "DK": "n14", "ES": "n20", "FI": "n14", "FR": "n10c11n2", "GB": "a4n14", "GR": "n7c16",
    "IE": "a4n14", "IT": "a1n10c12", "LU": "n3c13", "MT": "a4n5c18", "NL": "a4n10", "NO": "n11", "PL": "n24", "PT": "n21", "SA": "n2c18", "SE": "n20", "TR": "n6c16",
}  # fmt: skip
"""The national part of some account numbers: n digits, a capital letters, c either."""


def iban(rng: random.Random) -> str:
    country, form = rng.choice(sorted(REGISTRY.items()))
    of = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}
    national, kind, count = "", "", ""
    for c in f"{form}.":
        if c.isdigit():
            count += c
        else:
            national += "".join(rng.choices(of[kind], k=int(count))) if kind else ""
            kind, count = c, ""
    number = int("".join(str(int(c, 36)) for c in f"{national}{country}00"))
    return f"{country}{98 - number % 97:02d}{national}"


def grouped(make: Make, separator: str) -> Make:
    def grouped_by_four(rng: random.Random) -> str:
        text = make(rng)
        return separator.join(text[k : k + 4] for k in range(0, len(text), 4))

    return grouped_by_four


def ipv6(rng: random.Random) -> ipaddress.IPv6Address:
    parts = [rng.choice((0, 0, rng.randrange(1 << 16))) for _ in range(6)]
    return ipaddress.IPv6Address(
        ":".join(f"{p:x}" for p in (0x2000 + rng.randrange(0x1000), *parts, rng.randrange(1 << 16)))
    )


def email(rng: random.Random) -> str:
    names = ("ann", "bob.smith", "carla_diaz", "d.o'hara", "erik+news", "FIONA.GREEN", "g-7", "x99")
    hosts = ("example.org", "mail.example.com", "example.co.uk", "a-b.example.net", "EXAMPLE.INFO", "example.museum")
    return f"{rng.choice(names)}@{rng.choice(hosts)}"


FORMS: Mapping[str, Mapping[str, Make]] = {
    "phone": {
        "United States, national": US,
        "without space behind the bracket": one_of("(NDD)NDD-DDDD", "(NDD)NDDDDDD", "1(NDD)NDD-DDDD"),
        "digits alone": one_of("NDDNDDDDDD", "1NDDNDDDDDD", "0NDDDDDDDDD"),
        "other countries, national": NATIONAL,
        "international (E.123)": ABROAD,
        "E.164": one_of("+1NDDNDDDDDD", "+4420NDDDDDDD", "+4930NDDDDDD", "+33NDDDDDDDD", "+9198NDDDDDDD"),
        "00 or 011 in the place of +": one_of(
            "00 44 20 7946 DDDD", "0049 30 1234DDDD", "011 44 20 7946 DDDD", "00331 42 NN DD DD"
        ),
        "tel: links": lambda rng: f"tel:<<{respaced(ABROAD, ' ()', '-')(rng)}>>",
        "with extension": lambda rng: f"<<{US(rng)}>>" + rng.choice((" ext. 12", " x123", "x4", " extension 77")),
        "no-break spaces": respaced(ABROAD, " ", "\u00a0"),
        "narrow no-break spaces": respaced(NATIONAL, " ", "\u202f"),
        "non-breaking hyphens": respaced(US, "- ", "\u2011"),
        "en dashes": respaced(US, "-", "\u2013"),
        "minus signs": respaced(US, "-", "\u2212"),
        "spaced dashes": lambda rng: digits("NDD - NDD - DDDD")(rng),
        "slashes": one_of("NDD/NDD-DDDD", "NDD/NDD/DDDD", "0171 / 23DDDDD"),
        "full-width digits": in_digits(US, "０"),
        "Arabic-Indic digits": in_digits(US, "٠"),
        "digit by digit": lambda rng: " ".join(digits("NDDNDDDDDD")(rng)),
        "left-to-right marks": lambda rng: f"\u200e{ABROAD(rng)}\u200e",
        "underscores": one_of("NDD_NDD_DDDD"),
        "commas": one_of("NDD,NDD,DDDD"),
        "local, seven digits with a dash": one_of("NDD-DDDD"),
        "local, seven digits alone": one_of("NDDDDDD"),
        "letters": lambda rng: rng.choice(("1-800-FLOWERS", "1-800-GO-FEDEX", "800-CALL-ATT")),
    },
    "card": {
        "digits alone": card(""),
        "spaces": card(" "),
        "hyphens": card("-"),
        "dots": card("."),
        "no-break spaces": card("\u00a0"),
        "en dashes": card("\u2013"),
        "spaced hyphens": card(" - "),
        "slashes": card("/"),
        "full-width digits": in_digits(card(""), "０"),
    },
    "iban": {
        "electronic": iban,
        "groups of four": grouped(iban, " "),
        "hyphens": grouped(iban, "-"),
        "no-break spaces": grouped(iban, "\u00a0"),
        "small letters": lambda rng: iban(rng).lower(),
        "behind the word IBAN": lambda rng: f"IBAN<<{iban(rng)}>>",
    },
    "email": {
        "plain": email,
        "in angle brackets": lambda rng: f"Ann Smith <<<{email(rng)}>>>",
        "mailto:": lambda rng: f"mailto:<<{email(rng)}>>",
        "mailto:, percent-encoded": lambda rng: f"mailto:<<{email(rng).replace('@', '%40')}>>",
        "full-width sign": lambda rng: email(rng).replace("@", "＠"),
        "small sign": lambda rng: email(rng).replace("@", "﹫"),
        "JSON escape": lambda rng: email(rng).replace("@", "\\u0040"),
        "international": lambda rng: (
            rng.choice(("käthe", "用户", "ann"))
            + rng.choice(("@münchen.example", "@例え.jp", "@xn--mnchen-3ya.example"))
        ),
        "quoted name": lambda rng: f'"ann {rng.randint(10, 99)}"@example.org',
        "address as host": lambda rng: f"ann@[192.0.2.{rng.randint(1, 254)}]",
        "spaces around the sign": lambda rng: email(rng).replace("@", " @ "),
    },
    "ip": {
        "version 6, shortest": lambda rng: str(ipv6(rng)),
        "version 6, whole": lambda rng: ipv6(rng).exploded,
        "version 6, capitals": lambda rng: str(ipv6(rng)).upper(),
        "version 6, with port": lambda rng: f"[<<{ipv6(rng)}>>]:{rng.randint(80, 9999)}",
        "version 6, prefix": lambda rng: f"<<{ipv6(rng)}>>/{rng.choice((32, 48, 64))}",
        "version 6, zone": lambda rng: f"<<fe80::{rng.randrange(1, 1 << 16):x}:{rng.randrange(1, 1 << 16):x}>>%eth0",
        "version 4 in 6": lambda rng: f"::ffff:192.0.2.{rng.randint(1, 254)}",
        "version 4": lambda rng: ".".join(str(rng.randint(1, 254)) for _ in range(4)),
        "version 4, with port": lambda rng: (
            f"<<{'.'.join(str(rng.randint(1, 254)) for _ in range(4))}>>:{rng.randint(80, 9999)}"
        ),
    },
}
"""kind -> form -> generator."""
