"""Task metrics on validation dialogues: those of an evaluation, and what they decide."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from whole_runs import BrokenOffError, break_off_at, rows

from labelgen.base.errors import UsageError
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import AtGoal, AtSpan, AtTurn, Field, Label, NoLabel, Target
from labelgen.data.log import Log, write_log
from labelgen.metrics.results import read_evaluation
from labelgen.model.batches import Example
from labelgen.training.checkpoints import CheckpointFolder
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune
from labelgen.training.validation import Validation, reference_of

SYSTEMS = {"model": "", "model on the reference's goals": "/on_given_goals"}
MONITOR = "valid/outcome/macro_f1"


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    path = tmp_path / "held_out" / "valid.jsonl"
    write_log(path, [labeled_dialogue(seed) for seed in range(20, 32)], LABELS)
    return path


def metrics(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith("valid/")}


def evaluated(log: Path, model: Path, out: Path, *more: str) -> dict[str, Any]:
    """The figures of labelgen evaluate, by the names that they have in a row of a validation."""
    assert main(["evaluate", str(log), "--model", str(model), "--out", str(out), "--resamples=1", *more]) == 0
    return {
        f"valid/{task.name.replace(', ', '/')}{SYSTEMS[row.system]}/{name}": estimate.value
        for task in read_evaluation(out / "evaluation.json").tasks
        if len(task.tasks) == 1
        for row in task.rows
        if row.system in SYSTEMS
        for name, estimate in row.metrics.items()
        if estimate.value is not None
    }


@pytest.mark.parametrize("more", [[], ["--model.encoder_frozen=true"]])
def test_metrics_equal_those_of_an_evaluation(
    options: Callable[..., FinetuneOptions], held_out: Path, tmp_path: Path, more: list[str]
):
    asked = options("a", f"--data.valid=[{held_out}]", "--length.max_epochs=1", *more)
    finetune(asked)
    found = metrics(rows(asked)[-1])
    wanted = evaluated(held_out, Path(asked.out) / "model", tmp_path / "evaluation", "--reference=anna")
    assert len(found) > 40
    assert found == pytest.approx(wanted)


def test_metrics_are_measured_on_as_many_dialogues_as_asked(
    options: Callable[..., FinetuneOptions], held_out: Path, monkeypatch: pytest.MonkeyPatch
):
    compared: list[list[int]] = []
    found: dict[int, Any] = {}
    end = Validation.on_validation_end

    def count(self: Validation, *words: Any) -> None:
        found.clear()
        found.update(self._found)
        end(self, *words)
        compared.append(sorted(found))

    monkeypatch.setattr(Validation, "on_validation_end", count)
    losses = []
    for most in (3, 2000):
        monkeypatch.setattr("labelgen.training.fit.METRIC_DIALOGUES", most)
        asked = options(str(most), f"--data.valid=[{held_out}]", "--length.steps=1")
        finetune(asked)
        losses.append(rows(asked)[-1]["valid_loss"])
    few, every = compared
    assert 3 <= len(few) < 12
    assert set(few) < set(every)
    assert every == list(range(12))
    assert losses[0] == losses[1]


DIALOGUE = Dialogue(id="d", turns=(Turn(request="play jazz", response=""), Turn(request="no, stop", response="")))
EXCLUSIVE = {"outcome": ("success", "failure"), "quality": ("bad", "fair", "good")}


def test_reference_from_targets_is_the_most_likely_label_with_its_weight():
    targets = (
        Target("outcome", AtGoal((0,)), (("success", 0.2), ("failure", 0.8)), weight=0.6),
        Target("outcome", AtGoal((1,)), (("success", 0.5), ("failure", 0.5))),
        Target("quality", AtTurn(0), None, ("good",)),
        Target("intents", AtTurn(0), (("Play", 0.9), ("Stop", 0.4)), weight=0.7),
        Target("intents", AtTurn(1), (("Stop", 1.0),), complete=False),
        Target("slots", AtSpan(0, 5, 9), (("genre", 1.0),), weight=0.3),
        Target("slots", AtTurn(0), (), weight=0.3),
        Target("slots", AtTurn(1), (), weight=0.4),
        Target("goals", AtGoal((0, 1)), (("goal", 0.7),), complete=False),
    )
    found = reference_of(Example(DIALOGUE, targets), EXCLUSIVE)
    assert {(label.task, label.at, label.name) for label in found.annotation.labels} == {
        ("outcome", AtGoal((0,)), "failure"),
        ("intents", AtTurn(0), "Play"),
        ("slots", AtSpan(0, 5, 9), "genre"),
    }
    assert found.annotation.none == (NoLabel("slots", AtTurn(1)),)
    assert found.weights == {
        Field("outcome", AtGoal((0,))): 0.6,
        Field("intents", AtTurn(0)): 0.7,
        Field("slots", AtTurn(0)): 0.3,
        Field("slots", AtTurn(1)): 0.4,
    }


def test_monitor_decides_best_epoch(
    options: Callable[..., FinetuneOptions], held_out: Path, monkeypatch: pytest.MonkeyPatch
):
    """By a metric of which larger is better, over two sessions."""
    end = Validation.on_validation_end

    def measure(self: Validation, trainer: Any, module: Any) -> None:
        end(self, trainer, module)
        self.values[MONITOR] = (0.3, 0.6, 0.4, 0.5)[trainer.current_epoch]

    monkeypatch.setattr(Validation, "on_validation_end", measure)
    selected = ("--length.keep=best", f"--length.monitor={MONITOR}")
    asked = options("a", f"--data.valid=[{held_out}]", "--length.max_epochs=4", *selected)
    with monkeypatch.context() as patch:
        break_off_at(patch, 5)
        with pytest.raises(BrokenOffError):
            finetune(asked)
    finetune(asked)
    found = [row for row in rows(asked) if MONITOR in row]
    assert [row[MONITOR] for row in found] == [0.3, 0.6, 0.4, 0.5]
    assert found[3]["valid_loss"] < found[1]["valid_loss"]
    saved = CheckpointFolder(Path(asked.out) / "checkpoints")
    index = saved.index()
    assert index is not None
    assert index.best is not None
    assert saved.read(index.best)["global_step"] == found[1]["step"]


@pytest.mark.parametrize(
    ("monitor", "hint"),
    [
        ("valid/outcome/macrof1", f"did you mean {MONITOR!r}\\? known: .*valid_loss/slots"),
        ("valid/selection/accuracy", "known: valid/goals/b_cubed_f1"),
    ],
)
def test_unknown_monitor_is_refused_before_logs_are_read(
    options: Callable[..., FinetuneOptions], log: Path, monitor: str, hint: str
):
    log.write_text("broken{\n")
    with pytest.raises(UsageError, match=r"unknown length\.monitor") as error:
        finetune(options("a", f"--data.valid=[{log}]", f"--length.monitor={monitor}"))
    assert re.search(hint, error.value.hint)
    assert not Path(options("a").out).exists()


@pytest.mark.parametrize(
    "monitor", ["valid/outcome/failure_f1", "valid_loss/outcome", "valid/outcome/on_given_goals/ece"]
)
def test_monitor_without_a_value_on_the_data_is_refused(
    options: Callable[..., FinetuneOptions], held_out: Path, monitor: str
):
    """No dialogue is labeled with an outcome."""
    bare = [
        replace(d, annotations=tuple(replace(a, labels=_without(a.labels, "outcome")) for a in d.annotations))
        for d in Log([held_out])
    ]
    write_log(held_out, bare, LABELS, force=True)
    words = (f"--data.valid=[{held_out}]", "--length.keep=best", f"--length.monitor={monitor}")
    with pytest.raises(UsageError, match=r"is not defined on data\.valid, even for right labels"):
        finetune(options("a", *words))


def _without(labels: tuple[Label, ...], task: str) -> tuple[Label, ...]:
    return tuple(label for label in labels if label.task != task)
