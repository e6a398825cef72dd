"""labelgen data import: a table or JSON of any form becomes a log, by a mapping of its columns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from labelgen.base.errors import UsageError
from labelgen.base.files import fresh_file, write_text
from labelgen.base.options import ARGUMENT, Count, Share
from labelgen.base.terminal import print_lines, progress
from labelgen.base.yaml_text import flow_text, plain
from labelgen.cli.command import Command, ForceOptions, fresh_log
from labelgen.cli.data import columns
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import MAX_BAD_RATE, Log, open_writer
from labelgen.data.reader import Remark
from labelgen.data.record import Rejected
from labelgen.readers.cells import undecoded
from labelgen.readers.mapped import read_rows
from labelgen.readers.mapping import COLUMNS, ColumnMapping, entries_of
from labelgen.readers.sources import SourceRow, read_source
from labelgen.readers.suggest import ambiguous_dates, feedback_lines, leaves, suggest
from labelgen.report.terminal import DialogueView, PlainConsole

_SHOWN_VALUES = 3
_SHOWN_DIALOGUES = 2
_LONGEST = 24


@dataclass(frozen=True, kw_only=True)
class ImportOptions(ColumnMapping, ForceOptions):
    """Import a table or JSON as a log, by a mapping of its columns or JSON paths. Give the mapping by options, or as a YAML file
    of the same names by --config. Rows are grouped by dialogue and ordered by time; copies are dropped, and whatever is left out
    is counted and named. --preview shows the columns, suggests a mapping where none is given, and draws the first dialogues."""

    source: Annotated[str, ARGUMENT]
    """file, folder of files, folder of datasets.save_to_disk, or hub:NAME for a dataset of the Hugging Face hub"""
    out: Annotated[str | None, ARGUMENT] = None
    """output file: .jsonl or .parquet, or - for standard output; not needed for a preview"""
    preview: bool = False
    """columns, mapping and first dialogues, without an output"""
    save: Annotated[Path | None, "FILE"] = None
    """file for the mapping as YAML, the suggested one of a preview too; --config FILE reads it again"""
    rows: Count = 200
    """number of rows that the preview reads"""
    quarantine: Annotated[Path | None, "FILE"] = None
    """file for rejected rows and dialogues and the reasons"""
    max_bad_rate: Annotated[Share, "RATE"] = MAX_BAD_RATE
    """share of rejected rows and dialogues above which the command fails with exit code 3"""

    def check(self) -> None:
        """Raises UsageError without an output, and as ColumnMapping does."""
        if self.preview:
            return
        if self.out is None:
            raise UsageError("OUT is required", "the command line", "name an output file, or give --preview")
        super().check()

    @property
    def mapping(self) -> ColumnMapping:
        """The mapping alone."""
        return ColumnMapping(**{item.name: getattr(self, item.name) for item in fields(ColumnMapping)})


def import_log(options: ImportOptions) -> None:
    """Write the log, or print the preview."""
    if options.preview:
        _preview(options)
        return
    assert options.out is not None
    mapping = options.mapping
    log = Log([options.source], "mapped", mapping, options.quarantine, options.max_bad_rate)
    fresh_log(options.out, options.force, [options.source])
    _save(mapping, options, ())
    counts: Counter[str] = Counter()
    with open_writer(options.out, options.force) as write:
        for dialogue in progress(log, "import", "dialogues"):
            write(dialogue)
            counts.update(_counted(dialogue))
    if options.out != "-":
        print_lines(_summary(counts, f" in {options.out}"))
        if rejected := log.reasons.total():
            print_lines(f"{rejected:,} rows or dialogues rejected")


def _counted(dialogue: Dialogue) -> Iterator[str]:
    yield "dialogues"
    for turn in dialogue.turns:
        yield "turns"
        yield from (f"feedback {item.kind}" for item in turn.feedback)
    yield from (f"feedback {item.kind}" for item in dialogue.feedback)


def _summary(counts: Counter[str], where: str) -> str:
    kinds = ", ".join(f"{name.partition(' ')[2]} {n:,}" for name, n in sorted(counts.items()) if " " in name)
    return f"{counts['dialogues']:,} dialogues with {counts['turns']:,} turns{where}; feedback: {kinds or 'none'}"


def _preview(options: ImportOptions) -> None:
    given = options.mapping
    console = PlainConsole()
    remarks: list[str] = []
    read = list(islice(read_source(Path(options.source), given), options.rows))
    rows = [row for row in read if isinstance(row, SourceRow)]
    mapping, badly_encoded = given, [*_badly_encoded(rows)]
    try:
        mapping.check()
    except UsageError:
        mapping = suggest(rows, given)
        if given.encoding is None and badly_encoded:
            mapping = replace(mapping, encoding="cp1252")
            read = list(islice(read_source(Path(options.source), mapping), options.rows))
            rows = [row for row in read if isinstance(row, SourceRow)]
            mapping = replace(suggest(rows, given), encoding="cp1252")
        if lines := to_lines(mapping):
            where = f", in {options.save}" if options.save is not None else ""
            then = "" if options.save is not None else ", save it as mapping.yaml, and give --config mapping.yaml"
            print_lines(f"suggested mapping{where}; check it{then}:", "", *(f"  {line}" for line in lines), "")
        remarks += (f"warning: {text}" for text in ambiguous_dates(mapping, rows))
    remarks += feedback_lines(mapping, rows)
    _save(mapping, options, [*leaves(row.cells for row in rows)])
    _print_columns(console, rows, mapping)
    print_lines(*(f"warning: {text}" for text in badly_encoded))
    mapping.check()
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    shown = 0
    for item in read_rows(iter(read), mapping, options.source, some=True):
        if isinstance(item, Remark):
            remarks.append(item.text)
        elif isinstance(item, Rejected):
            if not reasons[item.reason.partition(":")[0]]:
                hint = "" if item.hint is None else f" ({item.hint})"
                remarks.append(f"rejected: {item.where()}: {item.reason}{hint}")
            reasons[item.reason.partition(":")[0]] += 1
        else:
            counts.update(_counted(item))
            if shown < _SHOWN_DIALOGUES:
                shown += 1
                console.print()
                console.print(DialogueView(item, None))
    print_lines("", _summary(counts, f" in the first {len(read):,} rows"))
    if reasons:
        print_lines("rejected: " + ", ".join(f"{reason} {n:,}" for reason, n in reasons.most_common()))
    print_lines(*remarks)


def _save(mapping: ColumnMapping, options: ImportOptions, names: Sequence[str]) -> None:
    """names: columns of the rows, which a mapping that is not complete lists."""
    if options.save is None:
        return
    lines = to_lines(mapping)
    try:
        mapping.check()
    except UsageError:
        lines += ["", *to_blanks(mapping, names)]
    write_text(fresh_file(options.save, options.force), "\n".join([*lines, ""]))


def to_blanks(mapping: ColumnMapping, names: Sequence[str]) -> list[str]:
    """What has to be added to a mapping, as lines of comments."""
    blanks = [
        ("dialogue", "the dialogue's id"),
        ("speaker", "who speaks, where a row is an utterance"),
        ("text", "the utterance"),
        ("request", "the user's request, where a row is a turn"),
        ("response", "the assistant's response"),
        ("time", "when it was said"),
        ("user", "the user's id"),
    ]
    return [
        "# Columns: " + flow_text(list(names))[1:-1],
        "# Name the column of each of these that the log has, and remove the # before it.",
        *(f"# {name}:  # {about}" for name, about in blanks if getattr(mapping, name) is None),
        "# is_user: [user]  # words for the user in the column of the speaker",
        "# is_assistant: [assistant]  # words for the assistant",
        "# feedback: {stars: 'rating 1..5 of dialogue', liked: thumbs}  # columns of feedback and what they mean",
    ]


def _badly_encoded(rows: Sequence[SourceRow]) -> Iterator[str]:
    bad = (value for row in rows for value in row.cells.values() if isinstance(value, str) and undecoded(value))
    if (text := next(bad, None)) is not None:
        known = text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
        yield f"texts are not in the encoding that is read; by --encoding cp1252 one is {known[:_LONGEST]!r}"


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
    "data import",
    ImportOptions,
    import_log,
    "labelgen data import calls.csv --preview\n"
    "labelgen data import calls.csv calls.jsonl --dialogue call --speaker who --text said --time at --feedback liked=thumbs",
)
