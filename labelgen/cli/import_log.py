"""labelgen data import: a table or JSON of any form becomes a log, by a mapping of its columns, which `labelgen init` drafts."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from labelgen.base.errors import UsageError
from labelgen.base.files import write_text
from labelgen.base.options import ARGUMENT, Share, fields_of
from labelgen.base.terminal import print_lines
from labelgen.base.yaml_text import flow_text, plain
from labelgen.cli.command import Command, ForceOptions
from labelgen.cli.data import columns, write_converted
from labelgen.data.log import MAX_BAD_RATE, Log
from labelgen.readers.cells import undecoded
from labelgen.readers.mapping import COLUMNS, ColumnMapping, entries_of
from labelgen.readers.sources import SourceRow, read_source
from labelgen.readers.suggest import ambiguous_dates, feedback_lines, leaves, suggest
from labelgen.report.terminal import PlainConsole

_ROWS = 20_000
"""Rows by whose values a mapping is suggested: answers of users are rare."""
_ASKED = ("dialogue", "speaker", "text", "request", "response", "time", "user", "is_user", "is_assistant")
_SHOWN_VALUES = 3
_LONGEST = 24


@dataclass(frozen=True, kw_only=True)
class ImportOptions(ColumnMapping, ForceOptions):
    """Import a table or JSON as a log, by a mapping of its columns or JSON paths. Give the mapping by options, or as a YAML file of the same
    names by --config; labelgen init drafts one. Rows are grouped by dialogue and ordered by time; copies are dropped, and whatever is left
    out is counted and named."""

    source: Annotated[str, ARGUMENT]
    """file, folder of files, folder of datasets.save_to_disk, or hub:NAME for a dataset of the Hugging Face hub"""
    out: Annotated[str, ARGUMENT]
    """output file: .jsonl or .parquet, or - for standard output"""
    quarantine: Annotated[Path | None, "FILE"] = None
    """file for rejected rows and dialogues and the reasons"""
    max_bad_rate: Annotated[Share, "RATE"] = MAX_BAD_RATE
    """share of rejected rows and dialogues above which the command fails with exit code 3"""


def import_log(options: ImportOptions) -> None:
    """Write the log."""
    mapping = ColumnMapping(**{item.name: getattr(options, item.name) for item in fields(ColumnMapping)})
    log = Log([options.source], "mapped", mapping, options.quarantine, options.max_bad_rate)
    write_converted(log, log, options.out, options.force, [options.source])


def draft_mapping(source: str, path: Path) -> None:
    """Show the columns of a table or JSON, and write a mapping of them that their names and values suggest.

    Raises UsageError for a mapping that has to be completed, which is written too."""

    def read(mapping: ColumnMapping) -> list[SourceRow]:
        first = islice(read_source(Path(source), mapping), _ROWS)
        return [row for row in first if isinstance(row, SourceRow)]

    rows = read(ColumnMapping())
    mapping, warnings = suggest(rows, ColumnMapping()), list[str]()
    cells = (value for row in rows for value in row.cells.values())
    if (text := next((value for value in cells if isinstance(value, str) and undecoded(value)), None)) is not None:
        known = text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
        warnings.append(f"texts are not in the encoding that is read; by --encoding cp1252 one is {known[:_LONGEST]!r}")
        rows = read(ColumnMapping(encoding="cp1252"))
        mapping = replace(suggest(rows, ColumnMapping()), encoding="cp1252")
    warnings += ambiguous_dates(mapping, rows)
    lines = to_lines(mapping)
    if lines:
        print_lines(f"suggested mapping, in {path}; check it:", "", *(f"  {line}" for line in lines), "")
    _print_columns(PlainConsole(), rows, mapping)
    print_lines(*(f"warning: {text}" for text in warnings), *feedback_lines(mapping, rows))
    try:
        mapping.check()
    except UsageError:
        lines += ["", *to_blanks(mapping, [*leaves(row.cells for row in rows)])]
        raise
    finally:
        write_text(path, "\n".join([*lines, ""]))


def to_blanks(mapping: ColumnMapping, names: Sequence[str]) -> list[str]:
    """What has to be added to a mapping, as lines of comments."""
    missing = [
        item
        for item in fields_of(ColumnMapping, described=True)
        if item.key in _ASKED and getattr(mapping, item.key) == item.default
    ]
    return [
        "# Columns: " + flow_text(list(names))[1:-1],
        "# Name the column of each of these that the log has, and remove the # before it.",
        *(f"# {item.key}:  # {item.help}" for item in missing),
        "# feedback: {stars: 'rating 1..5 of dialogue', liked: thumbs}  # columns of feedback and what they mean",
    ]


def to_lines(mapping: ColumnMapping) -> list[str]:
    """The mapping as lines of YAML, without the fields that have their defaults."""
    default = ColumnMapping()
    lines = []
    for item in fields(ColumnMapping):
        value = getattr(mapping, item.name)
        if value == getattr(default, item.name):
            continue
        if item.name == "feedback":
            lines += ["feedback:", *(f"  {flow_text({c: m})[1:-1]}" for c, m in value.items())]
        else:
            lines.append(flow_text({item.name: plain(value)})[1:-1])
    return lines


def _print_columns(console: PlainConsole, rows: Sequence[SourceRow], mapping: ColumnMapping) -> None:
    table = columns("column", "mapped to", "first values")
    table.columns[0].overflow = "fold"
    cells: list[dict[str, Any]] = [dict(row.cells) for row in rows]
    places = {getattr(mapping, name): name for name in COLUMNS if getattr(mapping, name) is not None}
    places |= {c: name for name in ("categories", "numbers") for c in getattr(mapping, name)}
    places |= {c: f"feedback: {meaning}" for c, meaning in mapping.feedback.items()}
    listed = leaves(cells)
    if mapping.turns is not None:
        entries = leaves(entry for value in listed.get(mapping.turns, ()) for entry in entries_of(value) or ())
        record = {n: listed[n] for n in listed if n != mapping.turns}
        for name, values in record.items():
            place = places.get(name, "") if name in _of_record(mapping) else ""
            table.add_row(name, place, _values(values))
        for name, values in entries.items():
            place = places.get(name, "") if name not in _of_record(mapping) else ""
            table.add_row(f"{mapping.turns}[*].{name}", place, _values(values))
    else:
        for name, values in listed.items():
            table.add_row(name, places.get(name, ""), _values(values))
    console.print(table)


def _of_record(mapping: ColumnMapping) -> set[str | None]:
    return {path.text for of_record, path in mapping.all_paths.values() if of_record}


def _values(values: Sequence[Any]) -> str:
    texts = dict.fromkeys(str(value) for value in values if value not in (None, ""))
    shown = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..." for text in islice(texts, _SHOWN_VALUES)]
    return ", ".join(shown)


IMPORT = Command(
    ImportOptions,
    import_log,
    "calls.csv calls.jsonl --config mapping.yaml\n"
    "calls.csv calls.jsonl --dialogue call --speaker who --text said --time at --feedback liked=thumbs",
)
