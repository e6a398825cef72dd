"""How near a model that learned from feedback comes to the same model that learned from gold, on simulated logs.

    python scripts/measure_feedback_training.py runs/feedback --out results/feedback_training.json

Of each seed a log is simulated and divided by user. Its training part is learned from three times: by the truth (gold), by
the targets that its feedback gives (feedback), and by these with the truth of 5% of the dialogues added (feedback and 5%
gold). Model, pretrained weights, steps, seed and command are the same, and so is what is hidden of the dialogues; the
targets alone differ (scripts/feedback_arms.py). Goals are those of the truth in all three: no feedback marks them. All are
judged on the test part against the truth, and so is what the live assistant believed. The method that makes targets is chosen
on a log whose figures are not reported, by the mean F1 of what learned from its targets; on its dialogues, unlabeled, the
model that all start from was pretrained.

What is made is not made again, and trainings go on where they stopped: the same command, or one with more seeds, goes on.
Two commands run side by side, one thread each. Where a core trains 95 turns a second this takes 5 minutes, then 5 more a
seed. What follows -- is given to every fine-tuning, such as: -- --model.leave_out '[hypothesis]'"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from command import arguments, parsed, tells_errors

from labelgen.base.errors import LabelgenError, UsageError
from labelgen.base.files import write_text
from labelgen.simulator.log import TRUTH

ROOT = Path(__file__).resolve().parent.parent
ARMS = {"gold": "gold", "feedback": "feedback", "mixed": "feedback and 5% gold"}
"""Log that is learned from (scripts/feedback_arms.py) -> its name in the table."""
METHODS = ("waterfall", "em")
COLLECT = "scripts/collect_feedback_training.py"
SIDE_BY_SIDE = 2


class StageError(LabelgenError):
    """A command failed; the script ends with its exit code."""

    def __init__(self, code: int, what: str, log: Path, told: str) -> None:
        super().__init__(f"{what} failed with exit code {code}", str(log), f"see what it said last:\n{told}")
        self.code = code


class Stages:
    """Runs commands, each unless what it makes is there, with one thread; what they print goes to files in `logs`."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        path = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{Path(sys.executable).parent}"
        one_thread = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._environment = {**os.environ, **one_thread, "PATH": path, "HF_HUB_OFFLINE": "1"}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, made: Path, name: str, *words: str) -> None:
        """`name`: of the file in `logs`. Raises StageError."""
        if made.exists():
            return
        began, log = time.monotonic(), self.logs / f"{name}.log"
        self.logs.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as told:
            with self._lock:
                if self._stopped:
                    return
                print(f"== {shlex.join(words)}", flush=True)
                process = subprocess.Popen(words, cwd=ROOT, env=self._environment, stdout=told, stderr=told)
                self._running.add(process)
            try:
                code = process.wait()
            finally:
                # Where the script itself is interrupted here, nothing of it is to go on.
                process.terminate()
                with self._lock:
                    self._running.discard(process)
        if code:
            raise StageError(code, name, log, log.read_text(encoding="utf-8", errors="replace")[-2000:])
        print(f"== took {time.monotonic() - began:.0f} s: {made}", flush=True)

    def side_by_side(self, jobs: Sequence[Callable[[], object]]) -> None:
        """All jobs, two at a time; where one fails or the script is interrupted, all that runs is stopped."""
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            try:
                for done in as_completed([pool.submit(job) for job in jobs]):
                    done.result()
            except BaseException:
                with self._lock:
                    self._stopped = True
                    for process in self._running:
                        process.terminate()
                pool.shutdown(cancel_futures=True)
                raise


class Run:
    """The logs, trainings and evaluations of each seed, in a folder of its own."""

    def __init__(self, folder: Path, dialogues: int, steps: int, more: Sequence[str]) -> None:
        self.folder = folder
        self.dialogues, self.steps, self.more = dialogues, steps, more
        self.stages = Stages(folder / "logs")
        self.encoder, self.pretrained = folder / "encoder", folder / "pretrained" / "model"

    def seed(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}"

    def _stage(self, made: Path, *words: str | Path) -> None:
        name = "-".join(made.relative_to(self.folder).with_suffix("").parts)
        self.stages.run(made, name, *map(str, words))

    def make_encoder(self) -> None:
        self._stage(self.encoder / "origin.json", "labelgen", "encoder", self.encoder, "--force")

    def make_logs(self, seed: int) -> None:
        """A log, its parts, the signals of the one and what is judged of the other."""
        at = self.seed(seed)
        log, parts = at / "log.jsonl", at / "parts"
        size = ("--dialogues", str(self.dialogues), "--seed", str(seed), "--annotated", "0")
        self._stage(at / "labels.json", "labelgen", "simulate", log, *size, "--force")
        division = ("--parts", "train=0.75,test=0.25", "--force")
        self._stage(parts / "labels.json", "labelgen", "data", "split", log, parts, *division)
        heard = ("labelgen", "feedback", "signals", parts / "train.jsonl", at / "signals" / "train.jsonl", "--force")
        self._stage(at / "signals" / "labels.json", *heard)
        judged = ("judge", parts / "test.jsonl", at / "judged" / "test.jsonl")
        self._stage(at / "judged" / "labels.json", sys.executable, "scripts/feedback_arms.py", *judged)

    def make_targets(self, seed: int, method: str) -> None:
        """The targets of a method, at the truth's goals, and the log of each arm."""
        at, made = self.seed(seed), self.seed(seed) / method / "targets" / "train.jsonl"
        words = ("labelgen", "feedback", "aggregate", at / "signals" / "train.jsonl", made, "--force")
        self._stage(made.with_name("labels.json"), *words, "--method", method, "--goals", TRUTH)
        last = at / method / list(ARMS)[-1] / "labels.json"
        self._stage(last, sys.executable, "scripts/feedback_arms.py", "learn", made, at / method)

    def pretrain(self, seed: int) -> None:
        """The model that all start from, on the dialogues of this seed."""
        self._train("pretrain", self.pretrained, self.seed(seed) / "parts" / "train.jsonl", "configs/pretrain.yaml")

    def finetune(self, seed: int, method: str, arm: str) -> None:
        """The same for every arm but for the log."""
        words = ["--targets.annotators", f"[{TRUTH}]", "--init", str(self.pretrained), "--seed", str(seed)]
        words += ["--length.max_steps", str(self.steps), *self.more]
        log, model = self.seed(seed) / method / arm / "train.jsonl", self._model(seed, method, arm)
        self._train("finetune", model, log, "configs/feedback.yaml", *words)

    def _model(self, seed: int, method: str, arm: str) -> Path:
        return self.seed(seed) / method / f"{arm}-run" / "model"

    def _train(self, command: str, model: Path, log: Path, config: str, *more: str) -> None:
        words = ["labelgen", command, "--config", "configs/demo.yaml", "--config", config, "--out", str(model.parent)]
        words += ["--data.train", json.dumps([str(log)]), "--data.valid", "[]", "--length.keep", "last"]
        words += ["--model.encoder", str(self.encoder), "--hardware.threads", "1", "--tracking.wandb", "off"]
        self._stage(model / "digests.json", *words, *more)

    def evaluate(self, seed: int, judged: Mapping[str, tuple[str, str]]) -> None:
        """judged: name -> method and arm."""
        at, parts = self.seed(seed), self.seed(seed) / "parts"
        log = (
            "labelgen",
            "evaluate",
            at / "judged" / "test.jsonl",
            "--reference",
            TRUTH,
            "--train",
            parts / "train.jsonl",
        )
        models = [f"--model={name}={self._model(seed, *made)}" for name, made in judged.items()]
        # Its own intervals are not used: the table's are over all seeds.
        out = ("--resamples", "50", "--out", at / "evaluation", "--force")
        self._stage(at / "evaluation" / "report.html", *log, *models, *out)

    def choose(self, seed: int) -> str:
        """The method whose targets teach best on this seed."""
        for method in METHODS:
            self.make_targets(seed, method)
        self.stages.side_by_side([partial(self.finetune, seed, method, "feedback") for method in METHODS])
        self.evaluate(seed, {method: (method, "feedback") for method in METHODS})
        choice = self.folder / "choice.json"
        self._stage(choice, sys.executable, COLLECT, "choose", self.folder, "--seeds", str(seed), "--out", choice)
        return str(json.loads(choice.read_text(encoding="utf-8"))["method"])

    def collect(self, seeds: Sequence[int], method: str, command: str, out: Path) -> None:
        """The table."""
        out.unlink(missing_ok=True)
        words = (sys.executable, COLLECT, "table", str(self.folder), "--out", str(out), "--seeds", *map(str, seeds))
        self.stages.run(out, "table", *words, "--method", method, "--command", command)


def keep_setting(path: Path, setting: Mapping[str, Any]) -> None:
    """Write down what a run is made with. Raises UsageError where it was begun with something else."""
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        differing = ", ".join(key for key in setting if before.get(key) != setting[key])
        if differing:
            raise UsageError(
                f"{path.parent} was begun with other options: {differing}", str(path), "name another folder"
            )
    write_text(path, json.dumps(setting, indent=1) + "\n")


def measure(given: argparse.Namespace, more: Sequence[str], command: str) -> None:
    """All stages, then the table."""
    folder: Path = given.run.resolve()
    options = ("dialogues", "steps", "method", "unreported")
    keep_setting(folder / "setting.json", {name: getattr(given, name) for name in options} | {"finetune": list(more)})
    run = Run(folder, given.dialogues, given.steps, more)
    run.make_encoder()
    run.make_logs(given.unreported)
    run.pretrain(given.unreported)
    method = given.method or run.choose(given.unreported)
    run.stages.side_by_side([partial(run.make_logs, seed) for seed in given.seeds])
    run.stages.side_by_side([partial(run.make_targets, seed, method) for seed in given.seeds])
    run.stages.side_by_side([partial(run.finetune, seed, method, arm) for seed in given.seeds for arm in ARMS])
    judged = {name: (method, arm) for arm, name in ARMS.items()}
    run.stages.side_by_side([partial(run.evaluate, seed, judged) for seed in given.seeds])
    run.collect(given.seeds, method, command, given.out.resolve())


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    args = arguments(__doc__, out_required=True)
    args.add_argument("run", type=Path, help="folder for all that is made")
    args.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="that are reported (default %(default)s)")
    args.add_argument(
        "--dialogues", type=int, default=1200, help="of each log; a quarter is judged (default %(default)s)"
    )
    args.add_argument("--steps", type=int, default=240, help="of each fine-tuning (default %(default)s)")
    args.add_argument("--method", help=f"of feedback aggregate (default: the better of {' and '.join(METHODS)})")
    args.add_argument("--unreported", type=int, default=90, metavar="SEED", help="to choose on (default %(default)s)")
    given = parsed(args, words[:cut])
    if given.unreported in given.seeds:
        raise UsageError(f"seed {given.unreported} is reported too", "--unreported", "choose on another seed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        measure(given, words[cut + 1 :], shlex.join(["python", "scripts/measure_feedback_training.py", *words]))
    except StageError as error:
        print(f"measure_feedback_training: {error}", file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
