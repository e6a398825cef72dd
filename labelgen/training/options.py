"""Options of pretraining and finetuning, without torch, so that configs and help are fast."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import prod
from typing import Annotated, Any, Literal

from labelgen.base.errors import UsageError
from labelgen.base.options import TABLE, Choices, Count, Positive, Range, Share, WholeNumber
from labelgen.base.registry import require
from labelgen.base.yaml_text import plain
from labelgen.data.log import MAX_BAD_RATE
from labelgen.data.reader import READERS
from labelgen.model.options import ModelOptions, TrainingPrecision
from labelgen.pretraining.corruption import MIXTURE, TEACHES, check_mixture
from labelgen.tasks import TASKS, TaskOptions

WandbMode = Literal["off", "offline", "online"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Logs, and how they are read."""

    train: Annotated[tuple[str, ...], "LOG"]
    """training logs: files or folders of records"""
    valid: Annotated[tuple[str, ...], "LOG"] = ()
    """validation logs, on which the loss and the metrics of tasks are measured after each epoch, ten times in a run at most"""
    mix: tuple[Positive, ...] = ()
    """passes over each log of `train` in an epoch, in their order: 0.5 is another half each epoch; one without a value"""
    format: Annotated[str, Choices("format", READERS), "FORMAT"] = "labelgen"
    """form of the records; docs/how-to/read-a-log.md"""
    option: Mapping[str, str] = field(default_factory=dict)
    """option of the reader of that form"""
    max_bad_rate: Annotated[Share, "RATE"] = MAX_BAD_RATE
    """share of rejected records above which the command fails with exit code 3"""
    workers: WholeNumber = 0
    """number of processes that prepare batches, two ahead each, for all epochs; 0 prepares them in the training process"""

    def check(self) -> None:
        """Raises UsageError for logs and shares that do not fit."""
        if not self.train:
            raise UsageError("there is no log to train on", "data.train", "name files or folders of records")
        if self.mix and (len(self.mix) != len(self.train) or sum(self.mix) == 0):
            raise UsageError(
                f"{len(self.mix)} shares for {len(self.train)} training logs",
                "data.mix",
                "give one share for each log, some of them above 0",
            )


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Sizes of batches."""

    turns: Count = 64
    """maximum number of turns in a batch of one process; a longer dialogue is a batch of its own. A step of several batches has more turns
    than one batch only if the training logs are large enough"""
    words: Count = 4096
    """maximum number of words in a batch, requests and responses together; bounds the memory for long texts"""
    accumulate: Count = 1
    """number of batches in each process whose gradients make one step"""
    online_share: Share = 0.0
    """share of batches whose turns see no later ones, so that the model also serves `labelgen label --online`"""


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """Source of the training targets."""

    annotators: Annotated[tuple[str, ...], "WHO"] = ("kind=person",)
    """annotators whose labels are learned: names (`*` and `?` as in file names), or kind=person for all of a kind; annotators of one
    dialogue have equal weights"""
    feedback: bool = False
    """use of the records' own targets, which `labelgen feedback aggregate` writes; those of outcome and quality teach the linear members alone,
    and annotations, where there are any, the network too (docs/explanation/training.md)"""


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """Change of the annotated dialogues, drawn in each epoch."""

    joined: Share = 0.0
    """probability that a dialogue ends like another one of the same log and source, cut between goals, so that any goal may follow any
    other; such a batch may have up to twice as many turns"""


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """Settings of AdamW and its learning rate schedule."""

    learning_rate: Positive = 3e-4
    """peak learning rate of the new layers, for steps of `batch.turns` turns; it grows with the square root of the turns of a step"""
    encoder_learning_rate: Positive = 2e-5
    """peak learning rate of the pretrained turn encoder, in the same way"""
    weight_decay: Positive = 0.01
    """weight decay of matrices; biases and norms have none"""


@dataclass(frozen=True, kw_only=True)
class LoraOptions:
    """Low-rank adapters (LoRA) of a large encoder, which are trained in place of its weights and merged into them at the end."""

    rank: WholeNumber = 0
    """rank of the adapters; 0 trains all weights of the encoder"""


@dataclass(frozen=True, kw_only=True)
class LengthOptions:
    """End of the training."""

    steps: Count | None = None
    """number of optimizer steps; without a value as many as three passes over the training logs take, and 500 at least"""
    max_epochs: Count | None = None
    """number of passes over the training logs, in place of the default length"""
    keep: Literal["last", "best"] = "last"
    """weights of the model: those of the last step, or of the validation with the best `monitor`, if there is `data.valid`"""
    monitor: Annotated[str, "METRIC"] = "valid_loss"
    """loss or metric on `data.valid` that decides `keep: best`, by its name in metrics.jsonl, such as
    valid/outcome/macro_f1; whether larger is better comes from the metric"""


@dataclass(frozen=True, kw_only=True)
class HardwareOptions:
    """Devices and arithmetic."""

    accelerator: str = "auto"
    """cpu, gpu, or auto for whatever Lightning finds"""
    devices: Count = 1
    """number of processes on each machine, one for each device"""
    nodes: Count = 1
    """number of machines"""
    precision: TrainingPrecision = "32"
    """arithmetic of the forward pass; weights and updates stay in 32 bits; 16 is fp16 with scaled losses, for GPUs without bf16"""
    threads: Count | None = None
    """number of CPU threads of one process; without a value, the number of cores"""


@dataclass(frozen=True, kw_only=True)
class TrackingOptions:
    """Records of the training."""

    wandb: WandbMode = "offline"
    """Weights & Biases besides metrics.jsonl: a folder on this machine, or its service"""
    tensorboard: bool = False
    """TensorBoard besides metrics.jsonl, in the folder of the run; needs the extra `tensorboard`"""
    log_every: Count = 10
    """number of steps between two rows of metrics.jsonl"""
    checkpoint_every: Count = 200
    """number of steps between two checkpoints; more are written at the end of the run, and of an epoch that is at least a tenth as long"""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options that pretraining and finetuning share."""

    out: Annotated[str, "FOLDER"]
    """folder of the run; the same command resumes the run that it finds there"""
    data: DataOptions
    """logs, and how they are read"""
    tasks: Annotated[Mapping[str, TaskOptions], TABLE]
    """tasks to learn with their options, such as '{goals: {}, quality: {weight: 2}}'"""
    model: ModelOptions = field(default_factory=ModelOptions)
    """the network"""
    init: Annotated[str | None, "FOLDER"] = None
    """model folder to start from; weights with equal names and shapes are taken over"""
    batch: BatchOptions = field(default_factory=BatchOptions)
    """sizes of batches"""
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    """AdamW and its learning rate schedule"""
    lora: LoraOptions = field(default_factory=LoraOptions)
    """low-rank adapters of the encoder"""
    length: LengthOptions = field(default_factory=LengthOptions)
    """end of the training"""
    hardware: HardwareOptions = field(default_factory=HardwareOptions)
    """devices and arithmetic"""
    tracking: TrackingOptions = field(default_factory=TrackingOptions)
    """records of the training"""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    """random seed; the same seed gives the same model on one kind of CPU and number of threads"""

    def check(self) -> None:
        """Raises UsageError for options that cannot hold together."""
        for task in self.tasks:
            require(task, TASKS, "task")
        if not self.tasks:
            raise UsageError("no task to learn", "tasks", "name at least one, such as --tasks.quality.weight=1")
        if self.length.monitor != LengthOptions.monitor and not self.data.valid:
            raise UsageError(
                f"{self.length.monitor} needs a validation log",
                "length.monitor",
                "give data.valid, or leave length.monitor out",
            )
        if self.lora.rank and self.model.encoder_frozen:
            raise UsageError(
                "the encoder is frozen, so its adapters would not be trained",
                "lora.rank, model.encoder_frozen",
                "leave one of the two out",
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainingOptions):
    """Train a model on logs whose records have annotations or targets. Run the same command again to resume an interrupted run."""

    targets: TargetOptions = field(default_factory=TargetOptions)
    """source of the training targets"""
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    """change of the annotated dialogues, drawn in each epoch"""
    mixture: Annotated[Mapping[str, Positive], "SHARE"] = field(default_factory=dict)
    """share of dialogues for each corruption of a pretraining on the same logs before, in the folder `pretrained` of `out`; without a
    value, or with `init`, there is none"""

    def pretraining(self, out: str) -> "PretrainOptions":
        """Options of the pretraining that comes first: the same but for what is learned. Raises UsageError as check_mixture does."""
        check_mixture(self.mixture)
        shared = {item.name: getattr(self, item.name) for item in fields(TrainingOptions)}
        tasks = {TEACHES[name]: TaskOptions() for name, share in self.mixture.items() if share}
        length = replace(self.length, monitor=LengthOptions.monitor)
        return PretrainOptions(**{**shared, "out": out, "tasks": tasks, "length": length, "mixture": self.mixture})


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(TrainingOptions):
    """Pretrain a model on unlabeled dialogues by corruptions: swapped answers, spliced dialogues, shuffled turns, masked answers. Its
    model folder is the `init` of labelgen finetune. Run the same command again to resume an interrupted run."""

    mixture: Annotated[Mapping[str, Positive], "SHARE"] = field(default_factory=lambda: dict(MIXTURE))
    """share of dialogues for each corruption; corruptions without a value get none"""
    single: Annotated[float, Range(0, 1, least_out=True)] = 1.0
    """share of the dialogues of each source, the shortest, that count as one goal when dialogues are spliced; below 1 where users often
    pursue several goals"""

    def check(self) -> None:
        """Raises UsageError for shares that cannot be drawn from, besides the errors of all trainings."""
        super().check()
        check_mixture(self.mixture)


FREE = (
    "tracking.",
    "data.workers",
    "out",
    "hardware.accelerator",
)
"""Options that may differ between the sessions of one run: they change no weight but by rounding."""

_DIVISION = ("hardware.devices", "hardware.nodes", "batch.accumulate")
"""Options whose product is the number of batches of a step; they may differ if it does not."""


def differences(saved: Mapping[str, Any], options: TrainingOptions) -> list[str]:
    """Dotted keys whose values differ and may not (see FREE), with both values."""
    before, now = dict(_leaves(saved)), dict(_leaves(plain(options)))
    equal_steps = prod(before.get(key) or 1 for key in _DIVISION) == prod(now[key] for key in _DIVISION)
    free = (*FREE, *(_DIVISION if equal_steps else ()))
    return [
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key) and not key.startswith(free)
    ]


def _leaves(values: Mapping[str, Any], prefix: str = "") -> "list[tuple[str, Any]]":
    leaves: list[tuple[str, Any]] = []
    for key, value in values.items():
        leaves += _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return leaves


def check_taught(options: PretrainOptions) -> None:
    """Raises UsageError for a task that no corruption of the mixture teaches."""
    for task in options.tasks:
        if any(share > 0 and TEACHES[name] == task for name, share in options.mixture.items()):
            continue
        by = " or ".join(name for name, taught in TEACHES.items() if taught == task)
        raise UsageError(
            f"no corruption of the mixture teaches {task!r}",
            f"tasks.{task}",
            f"give {by} a share in `mixture`, or leave the task out"
            if by
            else f"leave it for finetune; --config pretrain names what unlabeled dialogues teach: "
            f"{', '.join(dict.fromkeys(TEACHES.values()))}",
        )
