"""What is told of a training that is done: the card of its model, and the closing words."""

import shlex
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import torch

from labelgen import __version__
from labelgen.base.errors import DivergedError
from labelgen.kernels.processor import instruction_set
from labelgen.model.folder import read_card
from labelgen.model.label_model import LabelModel
from labelgen.training.config import plain
from labelgen.training.corpus import Corpus
from labelgen.training.fit import Fitted
from labelgen.training.options import FinetuneOptions, TrainingOptions

CONFIG = "config.yaml"
MODEL = "model"
BEFORE = "model_before_divergence"
NO_BEST = "without data.valid nobody can say which epoch is best (length.keep), so the last weights become the model"


def card(
    options: TrainingOptions,
    command: str,
    corpus: Corpus,
    targets: Mapping[str, int],
    fitted: Fitted,
    new: list[str] | None,
) -> Mapping[str, Any]:
    """targets: how many of each task. new: names of weights that `init` did not bring; None where there was none."""
    return {
        "command": command,
        "config": plain(options),
        "learned_from_feedback": _learned_from_feedback(options),
        "data_digest": corpus.digest,
        "dialogues": len(corpus),
        "turns": int(corpus.turns.sum()),
        "targets": targets,
        "step": fitted.step,
        "steps": fitted.steps,
        "elapsed_s": round(fitted.elapsed_s, 1),
        "not_taken_over": new,
        "isa": instruction_set(),
        "versions": {
            "labelgen": __version__,
            "torch": str(torch.__version__),
            "lightning": version("pytorch-lightning"),
        },
    }


def _learned_from_feedback(options: TrainingOptions) -> bool:
    """It, or the model that it began from."""
    if isinstance(options, FinetuneOptions) and options.targets.feedback:
        return True
    return options.init is not None and bool(read_card(Path(options.init)).get("learned_from_feedback", True))


def summary(
    options: TrainingOptions, corpus: Corpus, targets: Mapping[str, int], fitted: Fitted, new: list[str] | None
) -> str:
    """Lines for people, with what they may not have wanted: tasks without targets, and weights that are not the best."""
    counted = ", ".join(f"{count:,} of {task}" for task, count in targets.items())
    lines = [
        f"trained {fitted.step:,} of {fitted.steps:,} steps in {fitted.elapsed_s / 60:,.1f} min"
        + (f", ended by {fitted.ended}" if fitted.step < fitted.steps else ""),
        f"on {len(corpus):,} of {corpus.read:,} dialogues, {int(corpus.turns.sum()):,} turns"
        + (f"; targets: {counted}" if targets else ""),
        f"encoder: {options.model.encoder} ({_origin(fitted.model)})",
    ]
    untaught = [task for task in options.tasks if targets and task not in targets]
    if untaught:
        lines.append(f"NO targets of {', '.join(untaught)}: of these nothing was learned here")
    if options.length.keep == "best" and not options.data.valid:
        lines.append(NO_BEST)
    if fitted.sound:
        lines.append(fitted.sound)
    if new is not None:
        parts = Counter(".".join(name.split(".")[:2]) for name in new)
        named = ", ".join(f"{part} ({count})" for part, count in parts.items())
        lines.append(f"from {options.init}; weights that are new: {named or 'none'}")
    return "\n".join([*lines, f"model: {Path(options.out) / MODEL}"])


def diverged(options: TrainingOptions, command: str, fitted: Fitted) -> DivergedError:
    """Why a run ended, with the command that starts another folder from what was right, a tenth as fast."""
    assert fitted.diverged is not None
    folder = Path(options.out)
    rates = options.optimizer
    words = ["labelgen", command, "--config", str(folder / CONFIG)]
    if fitted.step:
        words += ["--init", str(folder / BEFORE)]
        hint = f"start another run, with lower learning rates, from the model of step {fitted.step:,}:"
    else:
        hint = "no checkpoint is known to be safe; start another run with lower learning rates:"
    words += ["--out", str(_free(folder))]
    words += ["--optimizer.learning_rate", f"{rates.learning_rate / 10:g}"]
    words += ["--optimizer.encoder_learning_rate", f"{rates.encoder_learning_rate / 10:g}"]
    return DivergedError(f"training diverged: {fitted.diverged.what}", str(folder), f"{hint} {shlex.join(words)}")


def _free(folder: Path) -> Path:
    """The folder's name with the first number that no other has."""
    return next(path for n in count(2) if not (path := folder.with_name(f"{folder.name}-{n}")).exists())


def _origin(model: LabelModel) -> str:
    return ", ".join(f"{key} {value}" for key, value in model.origin.items() if isinstance(value, str))
