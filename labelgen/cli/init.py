"""labelgen init: looks at a log, shows what it found, and writes a commented config of the way from there to labels."""

import shlex
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from labelgen.base.errors import InputError, LabelgenError, UsageError
from labelgen.base.files import fresh_file, write_text
from labelgen.base.options import ANY, ARGUMENT, Choices, Count, fields_of, make_options
from labelgen.base.registry import resolve
from labelgen.base.terminal import print_lines, progress
from labelgen.base.yaml_text import flow_text, plain
from labelgen.cli.command import Command, ForceOptions
from labelgen.cli.import_log import draft_mapping
from labelgen.cli.pipeline import PipelineOptions
from labelgen.confidence.weakness import LEAST_ANSWERS
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import MAX_BAD_RATE, Log, reasons_text
from labelgen.data.reader import READERS, Reader
from labelgen.data.stats import LogStats
from labelgen.feedback.signal import USER, user_annotation
from labelgen.readers.mapping import ColumnMapping
from labelgen.readers.sources import SourceRow, is_dataset, read_source
from labelgen.readers.suggest import suggest
from labelgen.report.terminal import DialogueView, PlainConsole

SAMPLE = Path(__file__).parents[1] / "simulator" / "sample.csv"
CONFIG, TRAINING, MAPPING = "run.yaml", "training.yaml", "mapping.yaml"
_FORMS = ("labelgen", "chatgpt", "rasa", "chat", "opentelemetry", "langfuse", "langsmith")
"""Forms that are tried in this order; a table or other JSON needs a mapping."""
_MANY_ANSWERS = 300
_TRIED = 50
_SHOWN_DIALOGUES = 2
_FEW_DIALOGUES = 20
"""With fewer annotated dialogues people are no reference."""
_CONSENSUS = 3
_VERSION = "version"
"""The field of a log that names the version of the assistant."""
_SMALL = 4000
"""Logs of as many dialogues are learned with a fixed encoder, which encodes each text once: minutes on two cores."""
_TRAINING = """# Options of `labelgen finetune` besides those of the other configs; `labelgen finetune --help` lists them.
model:
  # A fixed encoder reads each text once, which is quick. Without these options it is trained too, which learns more from large logs.
  encoder_frozen: {frozen}
  words: {words}
"""


@dataclass(frozen=True, kw_only=True)
class InitOptions(ForceOptions):
    """Begin with a log: show what is in it, and write a commented config for labelgen run."""

    log: Annotated[str | None, ARGUMENT] = None
    """file or folder of the log: records, a table (CSV, Excel, Parquet), JSON, an export of traces, or a folder of datasets.save_to_disk"""
    sample: bool = False
    """a small simulated log that labelgen brings, in place of one of yours"""
    out: Annotated[Path, "FOLDER"] = Path("labeling")
    """folder for the config, and all that it makes"""
    format: Annotated[str | None, Choices("format", READERS), "FORMAT"] = None
    """form of the log; without a value it is found out"""
    option: Mapping[str, str] = field(default_factory=dict)
    """option of the reader of that form, such as the path of feedback in a chat"""
    mapping: Annotated[Path | None, "FILE"] = None
    """mapping of a table or JSON; without a value one is suggested"""
    dialogues: Count = 5000
    """number of dialogues that are looked at"""

    def check(self) -> None:
        """Raises UsageError for options that exclude each other."""
        if self.sample == (self.log is not None):
            what = "a log and the sample are named" if self.sample else "no log is named"
            raise UsageError(what, "LOG, --sample", "give one of them")
        if self.mapping is not None and self.format not in (None, "mapped"):
            raise UsageError("a mapping has no format", "--mapping, --format", "give one of them")


@dataclass(slots=True)
class Findings:
    """What a log holds. people: dialogues by number of people who annotated them. by_person: dialogues by person. answered: dialogues in
    which users said themselves how it was. understood: what the assistant's hypotheses have. locales: dialogues by locale, None for those without one.
    days: of each version of the assistant, None where it is not named, how many dialogues of each day people or users judged."""

    stats: LogStats = field(default_factory=LogStats)
    people: Counter[int] = field(default_factory=Counter)
    by_person: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    understood: set[str] = field(default_factory=set)
    locales: Counter[str | None] = field(default_factory=Counter)
    days: dict[str | None, Counter[str]] = field(default_factory=dict)

    def add(self, dialogue: Dialogue) -> None:
        self.stats.add(dialogue)
        self.locales[dialogue.locale] += 1
        names = [annotation.annotator for annotation in dialogue.annotations if annotation.kind == "person"]
        self.people[len(names)] += bool(names)
        self.by_person.update(names)
        answered = user_annotation(dialogue) is not None
        self.answered += answered
        version, day = _version_and_day(dialogue)
        if day is not None:
            self.days.setdefault(version, Counter())[day] += bool(names) or answered
        for turn in dialogue.turns:
            if turn.hypothesis is not None:
                self.understood |= {"intents"} if turn.hypothesis.intents else set()
                self.understood |= {"slots"} if turn.hypothesis.slots else set()

    def tasks(self) -> tuple[str, ...]:
        """The tasks that the log has something to learn from for."""
        of_people = {task for kind, task in self.stats.tasks if kind == "person"}
        order = ("goals", "outcome", "quality", "intents", "slots")
        return tuple(task for task in order if task in of_people | self.understood | {"outcome", "quality"})

    def reference(self) -> str | None:
        """Whom a model can be compared with."""
        if sum(count for people, count in self.people.items() if people >= _CONSENSUS) >= _FEW_DIALOGUES:
            return "consensus"
        if self.by_person and (most := self.by_person.most_common(1)[0])[1] >= _FEW_DIALOGUES:
            return most[0]
        return USER if self.answered else None

    def release(self) -> tuple[str, str | None] | None:
        """How rates can be compared over time, as `by` and `release` of a pipeline: at the first day of a second version, by versions, or by weeks.
        None where no two of them have dialogues enough that somebody judged."""
        if self.reference() is None:
            return None
        versions = {name: days for name, days in self.days.items() if name and days.total() >= _FEW_DIALOGUES}
        first, *later = sorted(versions.values(), key=lambda days: min(days)) or [Counter[str]()]
        if len(later) == 1 and max(first) < min(later[0]):
            return "week", min(later[0])
        if later:
            return _VERSION, None
        weeks: Counter[str] = Counter()
        for days in self.days.values():
            for day, count in days.items():
                weeks[date.fromisoformat(day).strftime("%G-%V")] += count
        return ("week", None) if sum(count >= _FEW_DIALOGUES for count in weeks.values()) > 1 else None


def _version_and_day(dialogue: Dialogue) -> tuple[str | None, str | None]:
    """The version of the assistant and the day; None for what the log does not name."""
    from labelgen.evaluation.slices import value_of

    version, day = (value_of(dialogue, name, USER) for name in (_VERSION, "day"))
    return None if version is None else f"{version}", None if day is None else f"{day}"


def init(options: InitOptions) -> None:
    """Show what is in the log, write the files, and print their names."""
    _, lines = write_config(options)
    wrote = ", ".join(str(options.out / name) for name in (CONFIG, TRAINING))
    print_lines("", f"wrote {wrote}", *lines)


def write_config(options: InitOptions) -> tuple[Path, list[str]]:
    """Show what is in the log, and write the files; returns the config of `labelgen run`, and what to do next in commands."""
    source, out = options.log or str(SAMPLE), options.out
    for name in (CONFIG, TRAINING):
        fresh_file(out / name, options.force)
    if options.sample:
        out.mkdir(parents=True, exist_ok=True)
        source = str(out / SAMPLE.name)
        shutil.copyfile(SAMPLE, source)
    form = "mapped" if options.mapping is not None else options.format or detect_form(source)
    suggested = form == "mapped" and options.mapping is None
    if form == "mapped":
        mapping = options.mapping
        if mapping is None:
            mapping = fresh_file(out / MAPPING, options.force)
            try:
                draft_mapping(source, mapping)
            except UsageError as error:
                if not mapping.exists():
                    raise
                hint = f"write what is missing into {mapping}, which has what was found ({error.hint}); then {_again(source, options, mapping)}"
                raise UsageError(error.what, str(mapping), hint) from error
        reader: Any = make_options(ColumnMapping, {}, [str(mapping)])
    else:
        mapping, reader = None, options.option
    log = Log([source], form, reader, out / "rejected.jsonl", max_bad_rate=1.0)
    found = Findings()
    for dialogue in progress(islice(log, options.dialogues), "look", "dialogues"):
        if found.stats.dialogues < _SHOWN_DIALOGUES:
            PlainConsole().print(DialogueView(dialogue, next(iter(dialogue.annotations), None)))
        found.add(dialogue)
    if not found.stats.dialogues:
        reasons = f": {reasons_text(log.reasons)}" if log.reasons else ""
        hint = "name the form by --format, or a mapping by --mapping"
        if suggested:
            hint = f"correct {mapping}, then {_again(source, options, mapping)}; or name another form by --format"
        raise InputError(f"no dialogue could be read as the form {form}{reasons}", source, hint)
    print_lines("", *_summary(found, log, form, options.dialogues), *_unread(source, form, options.option))
    by, release = found.release() or (None, None)
    made = PipelineOptions(
        log=source,
        format="labelgen" if mapping is not None else form,
        option={} if mapping is not None else options.option,
        mapping=mapping,
        out=out / "results",
        config=("public_cpu", *(() if found.by_person else ("feedback",)), str(out / TRAINING)),
        tasks=found.tasks(),
        annotators=("kind=person",) if found.by_person else (),
        reference=found.reference(),
        by=by,
        release=release,
    )
    write_text(out / CONFIG, config_text(made))
    small = found.stats.dialogues <= _SMALL
    write_text(out / TRAINING, _TRAINING.format(frozen=str(small).lower(), words=500 if small else 0))
    lines = [f"next: labelgen run {out / CONFIG}"]
    bad, whole = log.reasons.total(), log.reasons.total() + found.stats.dialogues
    if bad > MAX_BAD_RATE * whole:
        what = f"{bad:,} of {whole:,} rows or dialogues cannot be read ({reasons_text(log.reasons)}); a run allows {MAX_BAD_RATE:.0%}"
        print_lines("", what)
        lines = [
            f"next: state a higher max_bad_rate in {out / CONFIG} to leave them out, then labelgen run {out / CONFIG}"
        ]
        if mapping is not None:
            lines.insert(0, f"next: correct {mapping}, then {_again(source, options, mapping)} --force; or")
    return out / CONFIG, lines


def _again(source: str, options: InitOptions, mapping: Path | None) -> str:
    return shlex.join(["labelgen", "init", source, "--out", str(options.out), "--mapping", str(mapping)])


def _unread(source: str, form: str, given: Mapping[str, str]) -> Iterator[str]:
    """Lines about paths of a chat that look like ids or feedback and are not read."""
    if form != "chat" or given:
        return
    rows = [row for row in islice(read_source(Path(source), ColumnMapping()), _TRIED) if isinstance(row, SourceRow)]
    found = suggest(rows, ColumnMapping())
    usual = {"dialogue": "id", "user": "user"}
    paths = {name: getattr(found, name) for name in ("dialogue", "user", "device", "locale", "time")}
    chosen = {name: path for name, path in paths.items() if path not in (None, usual.get(name))}
    if found.feedback:
        chosen["feedback"] = flow_text(
            {path: kind.removesuffix(" of dialogue") for path, kind in found.feedback.items()}
        )
    if chosen:
        words = " ".join(shlex.join(["--option", f"{name}={value}"]) for name, value in chosen.items())
        yield f"not read, by their names: {', '.join(path for path in (*paths.values(), *found.feedback) if path)}; to read them add"
        yield f"  {words} --force"


def detect_form(source: str) -> str:
    """The form of a log: the first whose reader takes most of the first records, else `mapped`.

    Raises UsageError for a path that does not exist."""
    if source.startswith("hub:"):
        return "mapped"
    path = Path(source)
    if not path.exists():
        raise UsageError(f"{source} does not exist", source, "name a file or folder")
    if is_dataset(path):
        return "mapped"
    return next((form for form in _FORMS if _reads(path, form)), "mapped")


def _reads(path: Path, form: str) -> bool:
    reader: Reader = resolve(READERS, form, "format")
    try:
        read = list(islice(reader.read(path, {}), _TRIED))
    except LabelgenError:
        return False
    return sum(isinstance(item, Dialogue) and bool(item.turns) for item in read) > len(read) / 2


def _summary(found: Findings, log: Log, form: str, most: int) -> Iterator[str]:
    stats = found.stats
    more = " first" if stats.dialogues == most else ""
    rejected = f", {log.reasons.total():,} rejected" if log.reasons else ""
    yield f"form: {form}; in the{more} {stats.dialogues:,} dialogues{rejected}: {stats.turns:,} turns, {len(stats.users):,} users"
    feedback = ", ".join(f"{' '.join(filter(None, kind))} {n:,}" for kind, n in sorted(stats.feedback.items()))
    yield f"feedback: {feedback or 'none; words and behavior are read alone'}"
    people = ", ".join(f"{name} {count:,}" for name, count in found.by_person.most_common(10))
    yield f"annotated by people: {people or 'nobody'}"
    if unnamed := found.locales[None]:
        state = "; for another one state default_locale in the mapping, such as de" if form == "mapped" else ""
        yield f"{unnamed:,} dialogues name no language and are read as English{state}"
    yield f"understood by the assistant (hypothesis): {stats.turn_fields['hypothesis']:,} turns"
    if not stats.users:
        yield "no dialogue names its user: parts are split by dialogue, and one user's dialogues may be in several"
    reference = found.reference()
    yield _expectation(found)
    if reference is None:
        yield "nobody says how dialogues went, neither people nor users: the model will not be evaluated"
    elif reference == USER:
        yield f"the model will be compared with what users said in {found.answered:,} dialogues; users who say something are not all users"
    else:
        yield f"the model will be compared with {reference}"


def _expectation(found: Findings) -> str:
    """What can be expected of so many dialogues and answers."""
    known = f"{found.answered:,} dialogues have answers of users (ratings, thumbs, yes or no)"
    if found.by_person:
        return f"{known}; people annotated {sum(found.people.values()):,}"
    if found.answered < LEAST_ANSWERS:
        return (
            f"{known}: too few to judge labels, which will come from reactions (rephrasings, thanks) alone; {LEAST_ANSWERS} and more "
            "would tell whether they are right"
        )
    if found.answered < _MANY_ANSWERS:
        return f"{known}: labels learn from them and are judged roughly; intervals will be wide"
    return f"{known}: enough to learn from and to judge by"


def config_text(options: PipelineOptions) -> str:
    """The options as YAML with their help as comments; those without a value are comments too."""
    lines = [
        "# Options of `labelgen run`. Steps whose options and input did not change are kept, so edit and run again."
    ]
    for item in fields_of(PipelineOptions, described=True):
        if ANY not in item.key:
            value = plain(getattr(options, item.key))
            shown = flow_text({item.key: value})[1:-1]
            lines += [f"# {item.help}", f"# {item.key}:" if value is None and item.key != "reference" else shown]
    return "\n".join([*lines, ""])


INIT = Command(InitOptions, init, "calls.csv --out labeling\n--sample --out sample")
