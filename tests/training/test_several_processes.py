"""Two processes train one model: whichever is late, both come to the same end."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import torch
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from whole_runs import common

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS
from labelgen.data.log import Log, write_log
from labelgen.data.record import Rejected
from labelgen.model.folder import check_model, load_model, read_card
from labelgen.training.run import run_quarantine
from labelgen.training.tracking import read_metrics

SCRIPT = """
import os, sys, time
from pathlib import Path
from labelgen.cli.main import main
from labelgen.training.module import TrainingModule

HERE = Path(sys.argv[0]).parent
FIRST = os.environ.get("LOCAL_RANK", "0") == "0"
how = os.environ["HOW"]

def late_commit(replaced):
    # The first process commits its last checkpoint only once the other has gone on without it, or clearly waits.
    def replace(old, new):
        if Path(new).parent.name == "checkpoints" and (HERE / "all steps").exists():
            until = time.monotonic() + 2.0
            while not (HERE / "went on").exists() and time.monotonic() < until:
                time.sleep(0.01)
        replaced(old, new)
    return replace

def last_step(step):
    def training_step(self, batch, batch_idx):
        if self.global_step == self.steps - 1:
            (HERE / "all steps").touch()
        return step(self, batch, batch_idx)
    return training_step

def signaled(step, number):
    def training_step(self, batch, batch_idx):
        if FIRST == (os.environ["WHO"] == "first") and self.global_step == 1:
            import signal
            signal.raise_signal(number)
        return step(self, batch, batch_idx)
    return training_step

def not_a_number(losses):
    def changed(self, batch, causal=False):
        found = losses(self, batch, causal)
        return {name: type(loss)(loss.total * float("nan"), loss.weight) for name, loss in found.items()}
    return changed

def full(written):
    def write(checkpoint, path):
        from labelgen.base.errors import StorageError
        raise StorageError("no room", str(path), "make some")
    return write

if how == "late":
    TrainingModule.training_step = last_step(TrainingModule.training_step)
    if FIRST:
        os.replace = late_commit(os.replace)
    else:
        from labelgen.training import fit as fitting
        made = fitting.audio_summary
        def summary(*words):
            (HERE / "went on").touch()
            return made(*words)
        fitting.audio_summary = summary
if how.isdigit():
    TrainingModule.training_step = signaled(TrainingModule.training_step, int(how))
if how == "early" and FIRST:
    import signal
    import torch
    torch.distributed.init_process_group = lambda *words, **more: signal.raise_signal(signal.SIGKILL)
if how == "nan" and not FIRST:
    from labelgen.model.label_model import LabelModel
    LabelModel.losses = not_a_number(LabelModel.losses)
if how == "full":
    import labelgen.training.checkpoints as checkpoint
    checkpoint._write = full(checkpoint._write)
code = main(sys.argv[1:])
# Threads of a process group that is left when the interpreter ends may abort the process.
import torch
assert not torch.distributed.is_initialized(), "a process group is left"
sys.exit(code)
"""


TWO = ["--hardware.devices=2", "--batch.accumulate=1"]
ONE = ["--hardware.devices=1", "--batch.accumulate=2"]
"""The same steps, if no batch has to be halved for the second process: --batch.turns=1 makes a batch of each dialogue."""


def train(log: Path, encoder: Path, how: str = "", *more: str, who: str = "second") -> subprocess.CompletedProcess[str]:
    """On two processes; under its own time limit, as one that waits for another would never end."""
    script = log.parents[1] / "script.py"
    script.write_text(SCRIPT)
    words = common(log, encoder, "a", *TWO, "--length.steps=3", "--tracking.checkpoint_every=1000")
    keys = {word.partition("=")[0] for word in more}
    return subprocess.run(
        [sys.executable, script, "finetune", *(w for w in words if w.partition("=")[0] not in keys), *more],
        env={**os.environ, "HOW": how, "WHO": who},
        capture_output=True,
        text=True,
        timeout=300,
    )


def losses(out: Path) -> list[float]:
    """Of each step and of the validation."""
    return [value for row in read_metrics(out / "metrics.jsonl") for key, value in row.items() if "loss" in key]


@pytest.fixture
def out(log: Path) -> Path:
    return log.parents[1] / "a"


@pytest.fixture
def rare(tmp_path: Path) -> Path:
    """A log of 24 dialogues; one in six has all labels, the others those of one task."""
    path = tmp_path / "log" / "rare.jsonl"
    dialogues = [labeled_dialogue(seed) for seed in range(24)]
    tasks = ("quality", "intents", "goals", "outcome", "slots")
    few = [one if k % 6 == 0 else _with_one_task(one, tasks[k % 6 - 1]) for k, one in enumerate(dialogues)]
    write_log(path, few, LABELS)
    return path


def _with_one_task(dialogue: Dialogue, task: str) -> Dialogue:
    kept = [
        replace(
            one,
            labels=tuple(
                label for label in one.labels if label.task == task or (task == "outcome" and label.task == GOALS)
            ),
            none=tuple(none for none in one.none if none.task == task),
        )
        for one in dialogue.annotations
    ]
    return replace(dialogue, annotations=tuple(kept))


def test_processes_begin_with_the_model_of_their_pretraining(log: Path, tiny_encoder: Path, out: Path):
    """On the weights that the first process saved, all at once; and the others wait until it has committed a checkpoint."""
    done = train(log, tiny_encoder, "late", "--mixture={swapped_answers: 1}")
    assert (done.returncode, "hint:" in done.stderr) == (0, False), done.stderr
    for model in (out / "pretrained" / "model", out / "model"):
        check_model(model)
    assert read_metrics(out / "metrics.jsonl")[-1]["step"] == 3
    card = read_card(out / "model")
    assert (card["config"]["init"], card["step"]) == (str(out / "pretrained" / "model"), 3)


def test_signal_to_one_process_ends_all(log: Path, tiny_encoder: Path, out: Path):
    done = train(log, tiny_encoder, str(int(signal.SIGUSR1)))
    assert done.returncode == 143, done.stderr
    assert done.stderr.count("a checkpoint is saved after step 2") == 1
    assert train(log, tiny_encoder).returncode == 0
    check_model(out / "model")


def test_first_process_killed_before_the_others_joined_ends_all(log: Path, tiny_encoder: Path, out: Path):
    """The pipe of errors closes with the last process."""
    assert train(log, tiny_encoder, "early").returncode == -signal.SIGKILL
    assert not (out / "model").exists()


def test_loss_that_is_not_finite_names_the_dialogues_of_its_batch(log: Path, tiny_encoder: Path):
    done = train(log, tiny_encoder, "nan")
    assert done.returncode == 7, done.stderr
    names = re.search(r"not finite in step 1, in a batch of the dialogues (.*)$", done.stderr, re.MULTILINE)
    assert names is not None, done.stderr
    known = {dialogue.id: dialogue for dialogue in Log([log])}
    batch = names[1].split(", ")
    assert set(batch) <= set(known)
    assert len(batch) < len(known)
    requests = [turn.request for dialogue in known.values() for turn in dialogue.turns if len(turn.request.split()) > 1]
    assert requests
    assert not [request for request in requests if request in done.stderr]


def test_two_processes_equal_one(log: Path, rare: Path, tiny_encoder: Path, out: Path):
    """With dialogues of unequal length, most of them without targets of most tasks."""
    words = (
        f"--data.train=[{rare}]",
        f"--data.valid=[{log}]",
        "--tracking.log_every=1",
        "--length.steps=5",
        "--batch.turns=1",
    )
    done = train(log, tiny_encoder, "", *words)
    assert done.returncode == 0, done.stderr
    of_two = losses(out)
    model = load_model(out / "model")
    shutil.rmtree(out)
    assert main(["finetune", *common(log, tiny_encoder, "a", *words, *ONE)]) == 0
    assert of_two == pytest.approx(losses(out), rel=2e-3)
    for name, weights in load_model(out / "model").state_dict().items():
        if name == "steps":  # counts the batches of one process
            continue
        torch.testing.assert_close(model.state_dict()[name], weights, rtol=0.0, atol=2e-3)


def test_task_metrics_of_two_processes_equal_those_of_one(log: Path, tiny_encoder: Path, out: Path):
    """With weights that do not change, since a label that differs by rounding would change a metric of a few dialogues."""
    still = ("--optimizer.learning_rate=0", "--optimizer.encoder_learning_rate=0")
    words = (f"--data.valid=[{log}]", "--length.steps=1", "--batch.turns=1", *still)
    done = train(log, tiny_encoder, "", *words)
    assert done.returncode == 0, done.stderr
    of_two = read_metrics(out / "metrics.jsonl")[-1]
    shutil.rmtree(out)
    assert main(["finetune", *common(log, tiny_encoder, "a", *words, *ONE)]) == 0
    of_one = read_metrics(out / "metrics.jsonl")[-1]
    found = {name: value for name, value in of_two.items() if name.startswith("valid/")}
    assert len(found) > 40
    assert found == pytest.approx({name: value for name, value in of_one.items() if name.startswith("valid/")})


def test_checkpoint_error_ends_all_processes(log: Path, tiny_encoder: Path):
    done = train(log, tiny_encoder, "full")
    assert done.returncode == 5, done.stderr
    assert done.stderr.count("no room") == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_quarantine_is_written_by_first_process_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int):
    monkeypatch.setattr("pytorch_lightning.utilities.rank_zero_only.rank", rank, raising=False)
    with closing(run_quarantine(tmp_path)) as quarantine:
        quarantine.add(Rejected(file="a.jsonl", reason="bad_json"))
        assert quarantine.reasons == {"bad_json": 1}
    assert (tmp_path / "quarantine.jsonl").exists() == (rank == 0)
