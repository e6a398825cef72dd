"""Text that others wrote, as it may be shown on a terminal: it can neither move the cursor, nor hide, nor pass for a line of ours."""

import sys
import unicodedata
from typing import IO


def printable(text: str) -> str:
    """The text on one line, with control and other invisible characters written out: `\\x1b`, `\\u202e`, `⏎`."""
    return text if text.isascii() and text.isprintable() else "".join(_visible(character) for character in text)


def print_lines(*lines: object, file: IO[str] | None = None) -> None:
    """Print each made printable, as one line. file: standard output if there is none. Whatever labelgen says goes through here."""
    for line in lines:
        print(printable(str(line)), file=sys.stdout if file is None else file)


def printable_json(text: str) -> str:
    """The same JSON, with what is not seen in its strings written as escapes; its own line breaks stay."""
    return "".join(c if c == "\n" or printable(c) == c else _as_escapes(c) for c in text)


def _as_escapes(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[k : k + 4]}" for k in range(0, len(units), 4))


def _visible(character: str) -> str:
    if character == "\n":
        return " ⏎ "
    if character == "\t":
        return " "
    # Controls, formats such as bidi overrides, surrogates, private use and unassigned, line separators.
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character
