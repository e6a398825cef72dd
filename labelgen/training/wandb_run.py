"""A run of Weights & Biases, which a training starts and evaluation and calibration of its model take up.

docs/how-to/track.md lists what is written, and so what may leave the machine. wandb_tables.py and wandb_charts.py choose it."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

import msgspec

from labelgen.base.errors import IntegrityError, UsageError, first_line
from labelgen.base.files import read_json, write_text
from labelgen.base.registry import resolve
from labelgen.base.terminal import print_lines
from labelgen.metrics import METRICS
from labelgen.model.folder import check_model
from labelgen.training.options import WandbMode

WANDB_RUN = "wandb_run.json"
"""The address of the run, in the folder of a training. A model does not name it, so that equal trainings have equal digests."""
WANDB = "wandb"
"""Folder of offline runs in that of a training."""
_STEP = "step"
_LOSSES = ("loss", "valid_loss")
_VARIABLES = {"id": "RUN_ID", "project": "PROJECT", "name": "NAME", "entity": "ENTITY"}
_DATA_FOLDER = "WANDB_DATA_DIR"
_PRESETS: Mapping[str, tuple[str, dict[str, str]]] = {
    "confusion_matrix": (
        "wandb/confusion_matrix/v1",
        {name: name for name in ("Actual", "Predicted", "nPredictions")},
    ),
    "reliability": ("wandb/line/v0", {"x": "probability", "y": "accuracy"}),
}
"""Kind of chart -> preset of the library, and its fields with their columns."""


@dataclass(frozen=True, slots=True)
class RunAddress:
    """Where a run is found in Weights & Biases. entity: user or team; empty for the user's own."""

    id: str
    project: str
    name: str
    entity: str = ""


@dataclass(frozen=True, slots=True)
class DataTable:
    """A table of Weights & Biases."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class RunChart:
    """A chart of Weights & Biases. kind: its own confusion matrix, or a line of accuracy by probability."""

    kind: Literal["confusion_matrix", "reliability"]
    table: DataTable
    title: str


@dataclass(frozen=True, slots=True)
class LineageArtifact:
    """An input or output of a run, known by its SHA-256: a reference without content, but for tables and files that are named.

    kind: dataset, model or evaluation. digest: without one the artifact has no reference."""

    name: str
    kind: str
    digest: str | None
    metadata: Mapping[str, Any]
    tables: Mapping[str, DataTable] = field(default_factory=dict)
    files: Sequence[Path] = ()


class WeightsAndBiases:
    """Tracker for Weights & Biases. All sessions of a run are one run there, also those of evaluation and calibration.

    Offline it needs no account and sends nothing; `wandb sync` can send the folder later. The library's own variables apply
    (WANDB_PROJECT, WANDB_NAME, WANDB_RUN_ID, and those that it reads itself: WANDB_ENTITY, WANDB_RUN_GROUP, WANDB_TAGS).

    Args:
        folder: of the training; offline runs are written to its folder `wandb`.
        config: options of the training; None leaves those of the run.
        inputs: artifacts that the run uses.
        address: of a run that is taken up, whatever the variables say."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any] | None,
        online: bool,
        inputs: Sequence[LineageArtifact] = (),
        address: RunAddress | None = None,
    ) -> None:
        self.folder = folder
        self.config = None if config is None else dict(config)
        self.online = online
        self.inputs = inputs
        self.address = address
        self._taken_up = address is not None
        self._run: Any = None
        self._defined: set[str] = set()

    def start(self, step: int) -> None:
        if self._run is not None:
            return
        # Read at import; the library would send its own errors to its makers.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        asked = self.address or self._address(step)
        # What is given to the library stands above its own variables.
        entity: dict[str, Any] = {"entity": asked.entity or None} if self._taken_up else {}
        self._run = wandb.init(
            project=asked.project,
            name=asked.name,
            id=asked.id,
            resume="allow",
            dir=self.folder,
            config=self.config,
            mode="online" if self.online else "offline",
            settings=wandb.Settings(
                silent=True,
                console="off",
                host="",
                disable_git=True,
                disable_code=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
            ),
            **entity,
        )
        self.address = asked
        for one in self.inputs:
            self.use(one)
        if self.online:  # offline, asking for the address prints a warning
            print_lines(f"Weights & Biases: {self._run.url}", file=sys.stderr)

    def _address(self, step: int) -> RunAddress:
        """That of the earlier sessions; a new one if training starts from the first step."""
        earlier = read_address(self.folder) if step else None
        before = earlier or RunAddress(token_hex(4), "labelgen", self.folder.name)
        asked = {name: os.environ.get(f"WANDB_{variable}") for name, variable in _VARIABLES.items()}
        address = replace(before, **{name: value for name, value in asked.items() if value})
        write_text(self.folder / WANDB_RUN, msgspec.json.encode(address).decode() + "\n")
        return address

    def add(self, row: Mapping[str, Any]) -> None:
        self._log(dict(row), row[_STEP])

    def _log(self, values: dict[str, Any], step: int) -> None:
        for name in sorted(values.keys() - self._defined - {_STEP}):
            self._run.define_metric(name, step_metric=_STEP, summary=_summary(name))
            self._defined.add(name)
        with self._staged():
            self._run.log(values, step=step)

    def show(self, step: int, values: Mapping[str, RunChart | DataTable]) -> None:
        """Add charts and tables to the row of a step."""
        with self._staged():
            self._run.log({name: self._shown(one) for name, one in values.items()}, step=step)

    def _shown(self, one: RunChart | DataTable) -> Any:
        from wandb import plot_table

        if isinstance(one, DataTable):
            return self._table(one)
        preset, fields = _PRESETS[one.kind]
        return plot_table(preset, self._table(one.table), fields, {"title": one.title})

    def summarize(self, values: Mapping[str, Any]) -> None:
        """Set values of the run's summary."""
        self._run.summary.update(dict(values))

    def use(self, one: LineageArtifact) -> None:
        """Record an input. The library's use_artifact refuses offline runs; its record for the later sync is the same."""
        with self._staged():
            self._run._log_artifact(self._artifact(one), is_user_created=True, use_after_commit=True)

    def make(self, one: LineageArtifact) -> None:
        """Record an output."""
        with self._staged():
            self._run.log_artifact(self._artifact(one))

    def _artifact(self, one: LineageArtifact) -> Any:
        import wandb

        artifact = wandb.Artifact(one.name, one.kind, metadata=dict(one.metadata))
        if one.digest is not None:
            # The library warns that it cannot check a digest whose content it does not have.
            with redirect_stderr(StringIO()):
                artifact.add_reference(f"sha256:{one.digest}", name=one.name)
        for name, table in one.tables.items():
            artifact.add(self._table(table), name)
        for path in one.files:
            if path.is_dir():
                artifact.add_dir(str(path), name=path.name)
            else:
                artifact.add_file(str(path))
        return artifact

    def _table(self, table: DataTable) -> Any:
        import wandb

        return wandb.Table(columns=[*table.columns], data=[[*row] for row in table.rows])

    @contextmanager
    def _staged(self) -> Iterator[None]:
        """Copies that wait for `wandb sync` lie in the folder of the run, and not in the user's home."""
        before = os.environ.get(_DATA_FOLDER)
        os.environ[_DATA_FOLDER] = before or str(self.folder / WANDB)
        try:
            yield
        finally:
            if before is None:
                del os.environ[_DATA_FOLDER]

    def end(self) -> None:
        """The run counts as failed where an error is on its way."""
        if self._run is not None:
            self._run.finish(exit_code=int(sys.exc_info()[0] is not None))
            self._run = None

    def drop(self) -> None:
        """Stop the library's process. Otherwise this process would wait at its end for a broken one."""
        import wandb

        wandb.teardown()


def _summary(name: str) -> str | None:
    """How the summary takes up a metric: its best value; None for the last one, where no value is better."""
    first, _, rest = name.partition("/")
    if first in _LOSSES:
        return "min"
    metric = rest.rpartition("/")[2]
    if first == "valid" and metric in METRICS:
        return "max" if resolve(METRICS, metric, "metric").larger_is_better else "min"
    return None


class FailSafeTracker:
    """Weights & Biases until its first failure. After that it is dropped with a warning, and the command continues.

    kept: where the results are anyway."""

    def __init__(self, tracker: WeightsAndBiases, kept: str = "the rows are in metrics.jsonl") -> None:
        self._tracker: WeightsAndBiases | None = tracker
        self._kept = kept

    def start(self, step: int) -> None:
        self.attempt(lambda tracker: tracker.start(step))

    def add(self, row: Mapping[str, Any]) -> None:
        self.attempt(lambda tracker: tracker.add(row))

    def end(self) -> None:
        self.attempt(lambda tracker: tracker.end())

    @property
    def address(self) -> RunAddress | None:
        """None if it failed, or has not started."""
        return None if self._tracker is None else self._tracker.address

    def attempt(self, call: Callable[[WeightsAndBiases], None]) -> None:
        """Call unless an earlier call failed."""
        if self._tracker is None:
            return
        try:
            call(self._tracker)
        # The library raises its own errors, those of its connection and those of the system, and may raise SystemExit.
        except (Exception, SystemExit) as error:
            failed, self._tracker = self._tracker, None
            print_lines(
                f"warning: Weights & Biases failed and is not used any more ({first_line(error)}); {self._kept}",
                file=sys.stderr,
            )
            with suppress(Exception, SystemExit):
                failed.drop()

    def record(
        self, inputs: Sequence[LineageArtifact], outputs: Sequence[LineageArtifact], summary: Mapping[str, Any]
    ) -> None:
        """A session of its own, which leaves only these."""

        def session(run: WeightsAndBiases) -> None:
            run.inputs = inputs
            run.start(0)
            for one in outputs:
                run.make(one)
            run.summarize(summary)
            run.end()

        self.attempt(session)


def run_of_model(model: Path, mode: WandbMode | None) -> FailSafeTracker | None:
    """The run of the training that made a model in its folder; it is not started yet. None if figures are not followed.

    mode: None is offline where there is a run, else off.

    Raises UsageError for a mode other than off where there is none."""
    address = read_address(model.parent)
    if mode == "off" or (mode is None and address is None):
        return None
    if address is None:
        check_model(model)
        where, hint = str(model.parent / WANDB_RUN), "name the model in the folder of its training, or give --wandb off"
        raise UsageError(f"{model} has no run of Weights & Biases", where, hint)
    return FailSafeTracker(
        WeightsAndBiases(model.parent, None, mode == "online", address=address), "all results are written"
    )


def read_address(folder: Path) -> RunAddress | None:
    """The run of a training; None if it has none."""
    with suppress(IntegrityError):
        return read_json(folder / WANDB_RUN, RunAddress)
    return None
