"""Whole runs of training, on a tiny encoder: what they leave and tell, by every config."""

import re
from collections.abc import Callable
from dataclasses import replace as replace_options
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from small_training import PRETRAINING
from whole_runs import TIMED, common, digest, rows

from labelgen.base.errors import UsageError
from labelgen.base.options import read_options
from labelgen.cli.main import main
from labelgen.data.dialogue import Audio, Dialogue
from labelgen.data.labels import Label, targets_of
from labelgen.data.log import Log, write_log
from labelgen.model.annotate import annotate
from labelgen.model.folder import check_model, load_model, read_card
from labelgen.training.checkpoints import CheckpointFolder, weights_of
from labelgen.training.fit import fitted_options
from labelgen.training.module import TrainingModule
from labelgen.training.options import FinetuneOptions, PretrainOptions
from labelgen.training.run import finetune, pretrain
from labelgen.training.tracking import read_metrics

CONFIGS = Path(__file__).parents[2] / "configs"


def test_run_writes_model_config_metrics_and_card(options: Callable[..., FinetuneOptions], log: Path):
    asked = options("a", f"--data.valid=[{log}]")
    told = finetune(asked)
    out = Path(asked.out)
    assert str(out / "model") in told
    check_model(out / "model")
    card = read_card(out / "model")
    assert card["config"] == yaml.safe_load((out / "config.yaml").read_text())
    assert (card["dialogues"], card["command"]) == (14, "finetune")
    assert set(card["targets"]) == set(asked.tasks)
    assert card["step"] == card["steps"] > 3
    found = read_metrics(out / "metrics.jsonl")
    trained = [row for row in found if "loss" in row]
    assert [row["step"] for row in trained[:-1]] == list(range(2, card["steps"], 2))
    assert trained[-1]["step"] == card["steps"]
    for row in trained:
        assert {"epoch", "learning_rate", "encoder_learning_rate", "turns", "tokens", *TIMED} <= set(row)
        assert row["gradient_norm"] > 0.0
        assert row["tokens_per_s"] > row["turns_per_s"] > 0.0
        assert 0.1 < row["peak_memory_gib"] < 64.0
        parts = [row[f"loss/{name}"] * task.weight for name, task in asked.tasks.items() if f"loss/{name}" in row]
        assert row["loss"] == pytest.approx(sum(parts))
    assert trained[-1]["turns"] == 2 * card["turns"]
    valid = [row for row in found if "valid_loss" in row]
    assert [row["epoch"] for row in valid] == [0, 1]
    assert valid[1]["valid_loss"] < valid[0]["valid_loss"]


def test_feedback_leaves_verdicts_to_linear_members(options: Callable[..., FinetuneOptions], tmp_path: Path):
    made = [labeled_dialogue(seed) for seed in range(40)]
    heard = [replace(d, targets=tuple(replace(t, origin="em") for t in targets_of(d.annotations[0]))) for d in made]
    write_log(tmp_path / "heard.jsonl", heard, LABELS)
    shared = ("--targets.feedback=true", "--length.steps=2", f"--data.train=[{tmp_path / 'heard.jsonl'}]")
    feedback = (*shared, "--targets.annotators=[]")
    both = options("a", *feedback, "--tasks={outcome: {}, intents: {}}")
    assert "trained 2 of 2 steps" in finetune(both)
    model = load_model(Path(both.out) / "model")
    assert set(model.heads) == {"intents"}
    assert set(model.linear_settings()) == {"outcome"}
    alone = options("b", *feedback, "--tasks={outcome: {}}")
    assert "linear members" in finetune(alone)
    model = load_model(Path(alone.out) / "model")
    encoded: list[Any] = []
    model.turn_encoder.register_forward_hook(lambda *_: encoded.append(_))
    assert any(isinstance(x, Label) for x in annotate(model, made[:1])[0])
    assert not encoded
    assert "already done" in finetune(alone)
    mixed = options("c", *shared, "--tasks={outcome: {}}")
    assert "trained 2 of 2 steps" in finetune(mixed)
    assert set(load_model(Path(mixed.out) / "model").heads) == {"outcome"}


def test_short_run_warns_and_has_ten_validations_at_most(
    options: Callable[..., FinetuneOptions], log: Path, capsys: Any
):
    asked = options("a", f"--data.valid=[{log}]", "--length.steps=45", "--batch.turns=64")
    finetune(asked)
    assert "45 optimizer steps are few" in capsys.readouterr().err
    epochs = {row["epoch"] for row in rows(asked) if "loss" in row}
    validated = [row["step"] for row in rows(asked) if "valid_loss" in row]
    assert max(epochs) + 1 > 10 >= len(validated) > 5
    assert validated[-1] == 45


def test_more_processes_enlarge_a_step_of_large_logs_only(options: Callable[..., FinetuneOptions]):
    one, eight = options("a", "--batch.accumulate=1"), options("a", "--hardware.devices=4")
    assert fitted_options(one, 10**9) == fitted_options(one, 1) == one
    small, large = (fitted_options(eight, turns) for turns in (4_000, 10**9))
    assert (small.batch.turns, small.batch.words, small.optimizer) == (4, 512, eight.optimizer)
    assert large.batch == eight.batch
    assert large.optimizer.learning_rate == pytest.approx(8**0.5 * eight.optimizer.learning_rate)


def test_finetuning_after_its_pretraining_equals_both_commands(options: Callable[..., FinetuneOptions], log: Path):
    first = ("--mixture={swapped_answers: 1}", "--length.steps=2", "--length.monitor=valid/quality/turn/macro_f1")
    asked = options("a", *first, f"--data.valid=[{log}]")
    finetune(asked)
    before = Path(asked.out) / "pretrained" / "model"
    assert read_card(before)["command"] == "pretrain"
    assert set(read_card(before)["config"]["tasks"]) == {"quality"}
    other = options("b", *first[1:], f"--data.valid=[{log}]", f"--init={before}")
    finetune(other)
    assert digest(asked) == digest(other)
    assert "is already done" in finetune(asked)
    with pytest.raises(UsageError, match="is not empty and is not a training run"):
        finetune(replace_options(asked, out=str(log.parent)))
    assert not (log.parent / "pretrained").exists()


def test_seed_alone_decides_the_weights(options: Callable[..., FinetuneOptions]):
    short = "--length.steps=2"
    first, second, other = options("a", short), options("b", short, "--data.workers=1"), options("c", short, "--seed=1")
    for asked in (first, second, other):
        finetune(asked)
    assert digest(first) == digest(second) != digest(other)


def test_best_epoch_becomes_model(options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch):
    nats = iter([3.0, 1.0, 2.0])

    def measure(self: TrainingModule, batch: Any, batch_idx: int) -> Any:
        loss = next(nats) if batch_idx == 0 else 0.0
        weight = torch.tensor(float(batch_idx == 0))
        return {"sums": {name: (torch.tensor(loss), weight) for name in self.model.tasks}, "predictions": None}

    monkeypatch.setattr(TrainingModule, "validation_step", measure)
    asked = options("a", f"--data.valid=[{log}]", "--length.keep=best", "--length.max_epochs=3")
    finetune(asked)
    found = [(row["valid_loss"], row["step"]) for row in rows(asked) if "valid_loss" in row]
    assert [loss for loss, _ in found] == [13.5, 4.5, 9.0]
    saved = CheckpointFolder(Path(asked.out) / "checkpoints")
    index = saved.index()
    assert index is not None
    assert index.best is not None
    best = saved.read(index.best)
    assert best["global_step"] == found[1][1]
    kept = load_model(Path(asked.out) / "model").state_dict()
    other = [name for name, value in weights_of(best).items() if not torch.equal(value, kept[name])]
    # Texts of labels are encoded anew when a model is saved.
    assert [name for name in other if not name.startswith("labels_")] == []
    last = weights_of(saved.read(index.last))
    assert any(not torch.equal(value, kept[name]) for name, value in last.items() if name.startswith("heads."))


def test_finetuning_takes_over_pretrained_weights(
    options: Callable[..., FinetuneOptions], log: Path, tiny_encoder: Path
):
    argv = [
        *common(log, tiny_encoder, "pretrained"),
        "--config",
        str(CONFIGS / "pretrain.yaml"),
        "--length.steps=3",
    ]
    argv = [word for word in argv if not word.startswith("--tasks")]
    asked = read_options(PretrainOptions, argv)
    pretrain(asked)
    found = rows(asked)  # type: ignore[arg-type]
    assert any(name.startswith("loss/") for name in found[-1])
    folder = Path(asked.out) / "model"
    tuned = options("tuned", f"--init={folder}", "--length.steps=1", "--optimizer.encoder_learning_rate=0")
    assert "heads.slots" in finetune(tuned)
    card = read_card(Path(tuned.out) / "model")
    assert all(
        name.split(".")[1] in ("outcome", "intents", "slots") for name in card["not_taken_over"] if "heads" in name
    )
    before, after = load_model(folder).state_dict(), load_model(Path(tuned.out) / "model").state_dict()
    shared = [name for name in before if name.startswith("turn_encoder.")]
    assert shared
    assert all(torch.equal(before[name], after[name]) for name in shared)


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_configs_train_two_steps(name: str, log: Path, tiny_encoder: Path, tmp_path: Path):
    if name == "feedback":
        write_log(log, [_with_own_targets(labeled_dialogue(seed)) for seed in range(14)], LABELS, force=True)
    if name in ("quality", "quality_trained"):
        annotated = log.rename(log.with_name("annotated.jsonl"))
        assert main(["consensus", str(annotated), str(log), "--min-annotators", "1"]) == 0
    if name == "sound":
        soundfile.write(log.parent / "a.wav", np.zeros(8000, dtype=np.float32), 16_000)
        spoken = [replace(d, turns=tuple(replace(t, audio=Audio(path="a.wav")) for t in d.turns)) for d in Log([log])]
        write_log(log, spoken, LABELS, force=True)
    pretrains = name in PRETRAINING
    laid_over = ("feedback", "label_curves", "quality", "quality_trained", "sound")
    base = ["--config", str(CONFIGS / "demo.yaml")] if pretrains or name in laid_over else []
    argv = [
        *base,
        f"--config={CONFIGS / name}.yaml",
        f"--out={tmp_path / name}",
        f"--data.train=[{log}]",
        f"--data.valid=[{log}]",
        "--data.workers=0",
        f"--model.encoder={tiny_encoder}",
        "--model={dialogue_width: 32, dialogue_heads: 2}",
        "--batch.turns=16",
        "--length.steps=2",
        "--tracking.wandb=off",
        "--hardware={accelerator: cpu, devices: 1}",
    ]
    if pretrains:  # noqa: SIM108
        told = pretrain(read_options(PretrainOptions, argv))
    else:
        told = finetune(read_options(FinetuneOptions, argv))
    assert bool(re.search(r"sound: ([\d,]+) of \1 read\n", told)) == (name == "sound")
    assert read_card(tmp_path / name / "model")["step"] == 2


def _with_own_targets(dialogue: Dialogue) -> Dialogue:
    from labelgen.data.labels import targets_of

    return replace(dialogue, targets=targets_of(dialogue.annotations[0]), annotations=())
