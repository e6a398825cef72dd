"""Weights & Biases: one run for a training and for the calibration and evaluation of its model.

docs/how-to/track.md lists what is written, and so what may leave the machine. The only importer of wandb."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
from pytorch_lightning.loggers import WandbLogger

from labelgen.base.errors import IntegrityError, UsageError, first_line
from labelgen.base.files import read_json, write_text
from labelgen.base.terminal import print_lines
from labelgen.metrics.results import Confusion, Evaluation, ReliabilityDiagram, SystemName
from labelgen.model.calibration import Calibration
from labelgen.model.folder import check_model, model_digest, read_card
from labelgen.training.options import WandbMode

WANDB_RUN = "wandb_run.json"
"""The address of the run, in the folder of a training. A model does not name it, so that equal trainings have equal digests."""
WANDB = "wandb"
"""Folder of offline runs in that of a training."""
STEP = "trainer/global_step"
"""Axis of all metrics, as WandbLogger has it."""
_STAGED = "WANDB_DATA_DIR"
_CARD = (
    "command",
    "data_digest",
    "dialogues",
    "turns",
    "targets",
    "step",
    "steps",
    "learned_from_feedback",
    "versions",
)
"""Values of a model card that its artifact has: the others are in the run's config, or name nothing but words and paths."""


@dataclass(frozen=True, slots=True)
class RunAddress:
    """Where a run is found in Weights & Biases. entity: user or team; empty for the user's own."""

    id: str
    project: str
    name: str
    entity: str = ""


@dataclass(frozen=True, slots=True)
class LineageArtifact:
    """An input or output of a run, known by its SHA-256: a reference without content, but for files that are named.

    kind: dataset, model or evaluation."""

    name: str
    kind: str
    digest: str
    metadata: Mapping[str, Any]
    files: Sequence[Path] = ()


class WandbRun:
    """A run until the first failure of the library. Then it is dropped with a warning, and the command continues.

    Offline it needs no account and sends nothing; `wandb sync` can send the folder later."""

    def __init__(self, folder: Path, online: bool, address: RunAddress) -> None:
        self.folder = folder
        self.online = online
        self.address = address
        self._run: Any = None

    def start(self, config: Mapping[str, Any] | None = None) -> None:
        """Open the run. config: options of the training; None leaves those of the run."""
        # Read at import; the library would send its own errors to its makers.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            self._open(config)
        # The library raises its own errors, those of its connection and those of the system, and may raise SystemExit.
        except (Exception, SystemExit) as error:
            self._drop(error)

    def _open(self, config: Mapping[str, Any] | None) -> None:
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            host="",
            disable_git=True,
            disable_code=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        self._run = wandb.init(
            **{name: value for name, value in asdict(self.address).items() if value},
            resume="allow",
            dir=self.folder,
            config=None if config is None else dict(config),
            mode="online" if self.online else "offline",
            settings=settings,
        )
        if self.online:  # offline, asking for the address prints a warning
            print_lines(f"Weights & Biases: {self._run.url}", file=sys.stderr)

    def attempt(self, call: Callable[[Any], None]) -> None:
        """Call with the library's run, unless it failed before."""
        if self._run is None:
            return
        try:
            with self._staged():
                call(self._run)
        except (Exception, SystemExit) as error:
            self._drop(error)

    def _drop(self, error: BaseException) -> None:
        import wandb

        self._run = None
        what = (
            f"warning: Weights & Biases failed and is not used any more ({first_line(error)}); all results are in files"
        )
        print_lines(what, file=sys.stderr)
        # Otherwise this process would wait at its end for the library's broken one.
        with suppress(Exception, SystemExit):
            wandb.teardown()

    @contextmanager
    def _staged(self) -> Iterator[None]:
        """Copies that wait for `wandb sync` lie in the folder of the run, and not in the user's home."""
        before = os.environ.get(_STAGED)
        os.environ[_STAGED] = before or str(self.folder / WANDB)
        try:
            yield
        finally:
            if before is None:
                del os.environ[_STAGED]

    def logger(self) -> "list[FailSafeLogger]":
        """Lightning's logger of this run; none if it failed."""
        return [] if self._run is None else [FailSafeLogger(self, self._run)]

    def use(self, one: LineageArtifact) -> None:
        """Record an input: in the config, and online as an edge of the lineage, which the library refuses offline."""
        values = {f"inputs/{one.name}": one.digest}
        self.attempt(lambda run: run.config.update(values, allow_val_change=True))
        if self.online:
            self.attempt(lambda run: run.use_artifact(_artifact(one)))

    def make(self, one: LineageArtifact) -> None:
        """Record an output."""
        self.attempt(lambda run: run.log_artifact(_artifact(one)))

    def end(self, failed: bool = False) -> None:
        self.attempt(lambda run: run.finish(exit_code=int(failed)))
        self._run = None

    def record(
        self,
        inputs: Sequence[LineageArtifact],
        outputs: Sequence[LineageArtifact],
        summary: Mapping[str, Any],
        diagrams: "Mapping[str, Confusion | ReliabilityDiagram] | None" = None,
    ) -> None:
        """A session of its own, which leaves only these."""
        self.start()
        for one in inputs:
            self.use(one)
        for one in outputs:
            self.make(one)
        if diagrams:
            self.attempt(lambda run: run.log({name: _chart(name, one) for name, one in diagrams.items()}))
        self.attempt(lambda run: run.summary.update(dict(summary)))
        self.end()


class FailSafeLogger(WandbLogger):
    """Lightning's logger, whose failure ends no training."""

    def __init__(self, run: WandbRun, experiment: Any) -> None:
        super().__init__(experiment=experiment)
        self.run = run
        run.attempt(lambda one: one.define_metric("*", step_metric=STEP))
        run.attempt(lambda one: one.define_metric("valid_loss", step_metric=STEP, summary="min"))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.run.attempt(lambda _: WandbLogger.log_metrics(self, metrics, step))


def _artifact(one: LineageArtifact) -> Any:
    import wandb

    artifact = wandb.Artifact(one.name, one.kind, metadata={"sha256": one.digest, **one.metadata})
    # The library warns that it cannot check a digest whose content it does not have.
    with redirect_stderr(StringIO()):
        artifact.add_reference(f"sha256:{one.digest}", name=one.name)
    for path in one.files:
        if path.is_dir():
            artifact.add_dir(str(path), name=path.name)
        else:
            artifact.add_file(str(path))
    return artifact


def run_of_training(folder: Path, mode: WandbMode) -> WandbRun | None:
    """The run of a training, that of its earlier sessions; None if the mode is off. The library's variables name a new one."""
    if mode == "off":
        return None
    address = read_address(folder)
    if address is None:
        names = ("RUN_ID", "PROJECT", "NAME", "ENTITY")
        own = (token_hex(4), "labelgen", folder.name, "")
        words = (os.environ.get(f"WANDB_{name}") or one for name, one in zip(names, own, strict=True))
        address = RunAddress(*words)
        write_text(folder / WANDB_RUN, msgspec.json.encode(address).decode() + "\n")
    return WandbRun(folder, mode == "online", address)


def run_of_model(model: Path, mode: WandbMode | None) -> WandbRun | None:
    """The run of the training that made a model in its folder; it is not started yet. None if there is none, or the mode is off.

    mode: None is offline where there is a run, else off.

    Raises UsageError for a mode other than off where there is none."""
    address = read_address(model.parent)
    if mode == "off" or (mode is None and address is None):
        return None
    if address is None:
        check_model(model)
        where, hint = str(model.parent / WANDB_RUN), "name the model in the folder of its training, or give --wandb off"
        raise UsageError(f"{model} has no run of Weights & Biases", where, hint)
    return WandbRun(model.parent, mode == "online", address)


def read_address(folder: Path) -> RunAddress | None:
    """The run of a training; None if it has none."""
    with suppress(IntegrityError):
        return read_json(folder / WANDB_RUN, RunAddress)
    return None


# What a run gets: digests, counts, metrics and label names, no texts or ids.


def data_artifact(part: str, digest: str, counts: Mapping[str, Any]) -> LineageArtifact:
    """Input data. part: training, validation, evaluation or calibration."""
    return LineageArtifact(f"{part}-data", "dataset", digest, counts)


def model_artifact(model: Path, address: RunAddress | None, files: bool = False) -> LineageArtifact:
    """A model, by its run: a calibrated one is another version. address: None for a model of no run. files: with its files."""
    card = read_card(model)
    known = {name: card[name] for name in _CARD if name in card}
    name = "model" if address is None else f"model-{address.id}"
    return LineageArtifact(name, "model", model_digest(model), known, [model] if files else ())


def evaluation_artifact(
    evaluation: Evaluation, name: str, model_digest: str, digest: str, files: Sequence[Path] = ()
) -> LineageArtifact:
    """An evaluation. digest: of evaluation.json."""
    metadata = {
        "model": model_digest,
        "predictions": evaluation.data.digest,
        "dialogues": evaluation.data.judged,
        "seed": evaluation.setting.seed,
        "resamples": evaluation.setting.resamples,
        "versions": evaluation.versions,
    }
    return LineageArtifact(name, "evaluation", digest, metadata, files)


def evaluation_summary(evaluation: Evaluation, name: str, system: str) -> dict[str, float]:
    """NAME/TASK/METRIC -> value of a system, also on the reference's goals and with the feedback masked; /low and /high: its interval."""
    values: dict[str, float | None] = {}
    for task in evaluation.tasks:
        for shown, view in _views(system).items():
            row = task.row(shown)
            for metric, one in {} if row is None else row.metrics.items():
                key = f"{name}/{_key(task.name)}{view}/{metric}"
                values |= {key: one.value, f"{key}/low": one.low, f"{key}/high": one.high}
    return {key: value for key, value in values.items() if value is not None}


def evaluation_diagrams(evaluation: Evaluation, name: str, system: str) -> dict[str, Confusion | ReliabilityDiagram]:
    """NAME/TASK/confusion and NAME/TASK/reliability of a system."""
    return {
        f"{name}/{_key(task.name)}{view}/{kind}": one
        for task in evaluation.tasks
        for shown, view in _views(system).items()
        for kind, diagrams in (("confusion", task.confusion), ("reliability", task.reliability))
        for one in diagrams
        if one.system == shown
    }


def _views(system: str) -> dict[str, str]:
    """Names of a model among the systems -> part of a key, empty for the model as it is."""
    on_given, masked = SystemName(system, on_given_goals=True), SystemName(system, masked=True)
    return {system: "", str(on_given): "/on_given_goals", str(masked): "/feedback_masked"}


def _key(task: str) -> str:
    return task.replace(", ", "_").replace(" ", "_")


def calibration_summary(calibration: Calibration) -> dict[str, Any]:
    """calibration/TASK_UNIT/VALUE -> scaling, threshold and what was measured."""
    values: dict[str, Any] = {}
    for one in calibration.tasks:
        measured = {name: one.measured.get(name) for name in ("coverage", "precision")}
        part = {
            "kind": one.labels.kind,
            "temperature": one.labels.temperature,
            "threshold": None if one.certificate is None else one.threshold,
            **{name: row.get("value") for name, row in measured.items() if isinstance(row, Mapping)},
        }
        values |= {f"calibration/{one.task}_{one.unit}/{name}": v for name, v in part.items() if v is not None}
    return values


def _chart(title: str, one: Confusion | ReliabilityDiagram) -> Any:
    import wandb

    if isinstance(one, ReliabilityDiagram):
        rows = [[row.probability, row.accuracy] for row in one.bins]
        return wandb.plot.line(wandb.Table(["probability", "accuracy"], rows), "probability", "accuracy", title=title)
    pairs = [
        (wanted, predicted)
        for wanted, row in enumerate(one.counts)
        for predicted, count in enumerate(row)
        for _ in range(count)
    ]
    wanted, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    # The labels are the first of the columns.
    return wandb.plot.confusion_matrix(y_true=wanted, preds=predicted, class_names=one.columns, title=title)
