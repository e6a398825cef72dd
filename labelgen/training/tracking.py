"""Where the rows of a run go: metrics.jsonl, which is the record of truth, and Weights & Biases beside it."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

import msgspec

from labelgen.base.errors import StorageError, first_line
from labelgen.base.files import atomic_write, write_text
from labelgen.base.printable import print_lines
from labelgen.training.options import TrackingOptions

Row = Mapping[str, Any]

WANDB_ID = "wandb_id.txt"


class Tracker(Protocol):
    """Used by the first process alone."""

    def start(self, step: int) -> None:
        """Once before the rows of a sitting, which begins after this step."""

    def add(self, row: Row) -> None: ...

    def end(self) -> None: ...


class MetricsFile:
    """One row of JSON a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, step: int) -> None:
        """Drops the rows that a broken run wrote after the step."""
        rows = read_metrics(self.path) if self.path.exists() else []
        with atomic_write(self.path) as file:
            file.writelines(msgspec.json.encode(row) + b"\n" for row in rows if row["step"] <= step)

    def add(self, row: Row) -> None:
        """Raises StorageError where the row cannot be written."""
        try:
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(row) + b"\n")
        except OSError as error:
            raise StorageError(
                f"cannot write {self.path.name}: {error.strerror}",
                str(self.path),
                "free some room and run the same command again: it resumes",
            ) from error

    def end(self) -> None:
        """Every row was written when it came."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that was cut off while it was written is passed over."""
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            rows.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.DecodeError:
            continue
    return rows


class WeightsAndBiases:
    """Offline it needs no account and sends nothing; the folder can be sent later with `wandb sync`. All sittings of a run are
    one run there. What the library's own variables say counts (WANDB_PROJECT, WANDB_NAME, WANDB_RUN_ID, and those that it
    reads by itself: WANDB_ENTITY, WANDB_RUN_GROUP, WANDB_TAGS)."""

    def __init__(self, folder: Path, config: Mapping[str, Any], online: bool) -> None:
        self.folder = folder
        self.config = dict(config)
        self.online = online
        self._run: Any = None

    def start(self, step: int) -> None:
        # Read when the library is imported; it would report its own errors to its makers.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "labelgen",
            name=os.environ.get("WANDB_NAME") or self.folder.name,
            id=self._id(step),
            resume="allow",
            dir=self.folder,
            config=self.config,
            mode="online" if self.online else "offline",
            settings=wandb.Settings(
                silent=True, console="off", disable_git=True, disable_code=True, x_disable_machine_info=True
            ),
        )
        if self.online:  # offline the library warns who asks for the address
            print_lines(f"Weights & Biases: {self._run.url}", file=sys.stderr)

    def _id(self, step: int) -> str:
        """That of the earlier sittings, of which nothing is left where training begins anew."""
        path = self.folder / WANDB_ID
        known = path.read_text(encoding="utf-8").strip() if step and path.exists() else None
        own = os.environ.get("WANDB_RUN_ID") or known or token_hex(4)
        write_text(path, f"{own}\n")
        return own

    def add(self, row: Row) -> None:
        self._run.log({key: value for key, value in row.items() if key != "step"}, step=row["step"])

    def end(self) -> None:
        if self._run is not None:
            self._run.finish()
            self._run = None

    def drop(self) -> None:
        """Let go of the library's process: a broken one would be waited for, and complain, when this process ends."""
        import wandb

        wandb.teardown()


class Dropped:
    """Weights & Biases, until it fails: then it is dropped with a warning, and training goes on."""

    def __init__(self, tracker: WeightsAndBiases) -> None:
        self._tracker: WeightsAndBiases | None = tracker

    def start(self, step: int) -> None:
        self._try(lambda tracker: tracker.start(step))

    def add(self, row: Row) -> None:
        self._try(lambda tracker: tracker.add(row))

    def end(self) -> None:
        self._try(lambda tracker: tracker.end())

    def _try(self, call: Callable[[WeightsAndBiases], None]) -> None:
        if self._tracker is None:
            return
        try:
            call(self._tracker)
        # The library raises errors of its own, of its connection and of the system alike, and may leave by SystemExit.
        except (Exception, SystemExit) as error:
            failed, self._tracker = self._tracker, None
            print_lines(
                f"warning: Weights & Biases failed and is left out from here on ({first_line(error)}); the rows are in metrics.jsonl",
                file=sys.stderr,
            )
            with suppress(Exception, SystemExit):
                failed.drop()


def trackers(options: TrackingOptions, folder: Path, metrics: Path, config: Mapping[str, Any]) -> list[Tracker]:
    """Those that the options ask for."""
    found: list[Tracker] = [MetricsFile(metrics)]
    if options.wandb != "off":
        found.append(Dropped(WeightsAndBiases(folder, config, options.wandb == "online")))
    return found
