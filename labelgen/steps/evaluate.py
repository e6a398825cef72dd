"""The step of evaluation: systems against a reference, compared with the human baseline, in a folder of results."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import structs

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.files import atomic_folder, digest_file, write_text
from labelgen.base.options import Count, WholeNumber
from labelgen.base.process import command_line
from labelgen.base.terminal import print_lines
from labelgen.data.label_sets import refuse_without_domains
from labelgen.data.log import Log, write_log
from labelgen.data.record import encode
from labelgen.steps.shared import AudioFolders, ModelRunOptions, RunOptions

if TYPE_CHECKING:
    from labelgen.metrics.results import Evaluation
    from labelgen.model.annotator import Annotator
    from labelgen.training.wandb_run import WandbRun

FRAMES = {"frame_accuracy": ("intents", "slots")}
"""Metrics that judge several tasks jointly."""

MODEL = "model"
PREDICTIONS = "predictions.jsonl"
EVALUATION = "evaluation.json"
PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ModelRunOptions, RunOptions):
    """Compare a model, or annotations that are in the log, with the human baseline: each annotator is left out in turn and judged against
    the consensus of the others, the model on the same answers. Writes evaluation.json, predictions.jsonl and report.html."""

    model: Annotated[tuple[str, ...], "[NAME=]FOLDER"] = ()
    """model that annotates the log first and, where it learned from feedback, once more with the feedback masked; several need names"""
    predictions: Annotated[Path | None, "LOG"] = None
    """log whose annotations are judged, by dialogue id"""
    reference: Annotated[str, "NAME"] = "consensus"
    """reference that answers are compared with: consensus, or an annotator"""
    annotators: Annotated[tuple[str, ...], "WHO"] = ()
    """human annotators, who make the consensus: names, or kind=person for all people, the default; with one annotator as reference there
    is no human baseline unless they are named here"""
    others: WholeNumber | None = None
    """number of the other annotators whose consensus each one is judged against, drawn by the seed; without a value all of them; 0 leaves
    nobody out: systems are judged against the consensus of all annotators, without a human baseline"""
    ratings: Literal["vote", "mean"] = "vote"
    """consensus of ratings: the name with most votes, or that of the mean rating"""
    task: Annotated[tuple[str, ...], "NAME"] = ()
    """task to judge; without one, all"""
    first_turn: WholeNumber = 0
    """first turn that is judged"""
    min_annotators: WholeNumber = 0
    """number of human annotators below which a dialogue is left out"""
    train: Annotated[tuple[Path, ...], "LOG"] = ()
    """training part, from which baselines learn; dialogues whose requests all equal those of a training dialogue are left out"""
    new_users: bool = False
    """omission of dialogues by users of the training part"""
    baseline: Annotated[tuple[str, ...], "NAME"] = ()
    """baseline that learns from the training part; by default bag_of_words, constant_per_source, rule, majority_class"""
    allow_informative: bool = False
    """evaluation also on dialogues that a sample chose for a model's doubt, whose figures do not hold for the log"""
    online: bool = False
    """models that see no later turns, as in labelgen label --online"""
    slice: Annotated[tuple[str, ...], "FIELD"] = ()
    """field of the record to slice by, besides the default ones, such as user, status, a feature of the turns, or the model's
    probability"""
    title: str | None = None
    """title of the report"""
    split: Annotated[str | None, "WORDS"] = None
    """description in the report of how the log was divided"""
    seed: WholeNumber = 0
    """seed of all random draws"""
    resamples: Count = 1000
    """number of bootstrap resamples"""

    def check(self) -> None:
        """Raises UsageError for options that cannot hold together."""
        if self.model and self.predictions is not None:
            raise UsageError("both a model and predictions are named", "--model, --predictions", "give one of the two")
        for name, value in (("--new-users", self.new_users), ("--baseline", self.baseline)):
            if value and not self.train:
                raise UsageError(f"{name} needs a training part", name, "name it by --train")

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each model by its name."""
        return {name or MODEL: Path(folder) for name, _, folder in (text.rpartition("=") for text in self.model)}


def write_evaluation(log: Log, options: EvaluateOptions, folder: Path, force: bool = False) -> "Evaluation":
    """Evaluate, and write the folder; the figures go to the cards and runs of the models, too."""
    runs = _runs(options)
    with atomic_folder(folder, force) as out:
        evaluation = _evaluated(log, options, out / PREDICTIONS)
        from labelgen.report.page import render

        write_text(out / EVALUATION, evaluation.encode().decode())
        write_text(out / PAGE, render(evaluation))
    _write_model_cards(options, evaluation)
    _follow(options, folder, evaluation, runs)
    return evaluation


def _runs(options: EvaluateOptions) -> "dict[str, WandbRun]":
    """Runs in Weights & Biases by the name of their model. Raises UsageError for a model without a run, if one is asked for."""
    if not options.model:
        return {}
    from labelgen.training.wandb_run import run_of_model

    runs = {name: run_of_model(folder, options.wandb) for name, folder in options.folders.items()}
    return {name: run for name, run in runs.items() if run is not None}


def _follow(options: EvaluateOptions, folder: Path, evaluation: "Evaluation", runs: "Mapping[str, WandbRun]") -> None:
    """Add the evaluation to the runs of its models."""
    if not runs:
        return
    from labelgen.training.wandb_run import data_artifact, evaluation_artifact, evaluation_diagrams, evaluation_summary

    # Online figures are not those of the model as it is.
    kind = "evaluation_online" if options.online else "evaluation"
    data = data_artifact("evaluation", _judged_digest(folder / PREDICTIONS, evaluation), _counts(evaluation))
    digest = digest_file(folder / EVALUATION)
    files = [folder / name for name in (EVALUATION, PAGE)] if options.wandb_files else []
    cards = {next(iter(runs)): evaluation.model} if len(options.model) == 1 else evaluation.model
    for name, run in runs.items():
        made = evaluation_artifact(evaluation, kind, cards[name]["digest"], digest, files)
        diagrams = evaluation_diagrams(evaluation, kind, name)
        run.record([data], [made], evaluation_summary(evaluation, kind, name), diagrams)


def _judged_digest(predictions: Path, evaluation: "Evaluation") -> str:
    """Digest of the judged dialogues without the answers of systems, so that it is the same for other models."""
    digest, systems = sha256(), set(map(str, evaluation.systems))
    for dialogue in Log([predictions], max_bad_rate=0.0):
        kept = tuple(one for one in dialogue.annotations if one.annotator not in systems)
        digest.update(encode(structs.replace(dialogue, annotations=kept)) + b"\n")
    return digest.hexdigest()


def _counts(evaluation: "Evaluation") -> dict[str, int]:
    return {"dialogues": evaluation.data.dialogues, "turns": evaluation.data.turns}


def _write_model_cards(options: EvaluateOptions, evaluation: "Evaluation") -> None:
    """Write the figures to the cards of the models, which is no part of their digests. Online figures are not those of
    the model as it is, whose calibration they do without."""
    if not options.model or options.online:
        return
    from labelgen.model.calibration import write_model_card

    for name, folder in options.folders.items():
        try:
            write_model_card(folder, evaluation, name)
        except StorageError as error:
            print_lines(f"the model card is not renewed: {error.what}", file=sys.stderr)


def _evaluated(log: Log, options: EvaluateOptions, written: Path) -> "Evaluation":
    """written: where the log goes with the annotations of all who are judged."""
    from labelgen.agreement.consensus import CONSENSUS
    from labelgen.evaluation.baselines import DEFAULT
    from labelgen.evaluation.evaluate import Description, JudgedModel, evaluate, prepare, systems_of
    from labelgen.feedback.signal import mask_feedback
    from labelgen.metrics.results import EVERYONE, Setting
    from labelgen.tasks.evaluation import about, evaluation_tasks

    by_consensus = options.reference == CONSENSUS
    setting = Setting(
        reference=options.reference,
        annotators=options.annotators or (EVERYONE if by_consensus else None),
        others=options.others,
        ratings=options.ratings,
        first_turn=options.first_turn,
        slices=tuple(options.slice),
        seed=options.seed,
        resamples=options.resamples,
    )
    tasks = evaluation_tasks(FRAMES)
    if options.task:
        tasks = about(tasks, options.task)
    models = _models(options, log)
    if "-" not in map(str, log.paths):  # which can be read once
        refuse_without_domains(log, options.domains_from)
    read = AudioFolders(log)
    prepared = prepare(
        read,
        tasks,
        setting,
        Log(options.train, log.format, log.options) if options.train else None,
        options.min_annotators,
        [JudgedModel(partial(read.annotate, model), model.learned_from_feedback) for model in models],
        Log([options.predictions]) if options.predictions is not None else None,
        options.baseline or DEFAULT,
        options.new_users,
    )
    if prepared.baselines is not None and not prepared.baselines.tasks:
        who = "its people" if by_consensus else f"{options.reference} or its people"
        print_lines(
            f"--train: nobody annotated its dialogues ({who} answer nothing that is judged), so there are no baselines; copies of them are "
            "left out all the same",
            file=sys.stderr,
        )
    for model in models:
        if model.sound:
            print_lines(f"{model.name}: {model.sound}", file=sys.stderr)
        if model.learned_from_feedback and all(mask_feedback(d) == d for d in prepared.dialogues):
            print_lines(f"{model.name}: no dialogue carries feedback, so none was masked", file=sys.stderr)
    write_log(written, prepared.dialogues)
    # What is judged is what was written, so that the file alone gives the same numbers.
    dialogues = list(Log([written], max_bad_rate=0.0))
    systems = systems_of(dialogues, setting, prepared.variants)
    logs = list(map(str, log.paths))
    if dialogues and not systems:
        raise UsageError(
            "there is nobody to judge: no model, llm, user or rule in the log",
            ", ".join(logs),
            "give --model or --predictions; labelgen consensus judges people by themselves",
        )
    cards = {model.name: {"digest": model.provenance.model_digest, **model.card} for model in models}
    description = Description(
        title=options.title or f"{systems[0] if systems else 'nobody'} on {', '.join(Path(p).name for p in logs)}",
        command=command_line(),
        paths=tuple(logs),
        digest=digest_file(written),
        split=options.split,
        left_out=prepared.left_out,
        baselines=prepared.baselines,
        model=next(iter(cards.values())) if len(cards) == 1 else cards,
    )
    evaluation = evaluate(dialogues, tasks, systems, setting, description)
    if not options.allow_informative:
        _refuse_informative(evaluation)
    return evaluation


def _refuse_informative(evaluation: "Evaluation") -> None:
    """Raises UsageError where judged dialogues were chosen for a model's doubt: such a sample is no test set."""
    if drawn := evaluation.data.drawn_for_difficulty:
        how = ", ".join(f"{name} {count:,}" for name, count in drawn.items())
        raise UsageError(
            f"{sum(drawn.values()):,} judged dialogues were chosen for a model's doubt ({how}), so they are no test set",
            f"{', '.join(evaluation.data.paths)}, field sample.how",
            "draw the test set by `labelgen review sample --strategy audit`, or give --allow-informative",
        )


def _models(options: EvaluateOptions, log: Log) -> "list[Annotator]":
    """The models; labels.json of the log, where it has one, names the labels that are allowed."""
    if not options.model:
        return []
    from labelgen.model.annotator import Annotator

    labels = log.labels()
    if options.reference in options.folders or len(options.folders) < len(options.model):
        what = "models, and the reference, need names of their own"
        raise UsageError(what, f"--model {', '.join(options.model)}", "write --model NAME=FOLDER with another name")
    return [
        Annotator(
            folder,
            labels,
            name,
            options.precision,
            options.device,
            online=options.online,
            domains_from=options.domains_from,
            keep_weak=True,
        )
        for name, folder in options.folders.items()
    ]
