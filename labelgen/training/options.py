"""What can be set of a training run; without torch, so that configs and help are fast. Defaults stand here alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from labelgen.data.log import MAX_BAD_RATE
from labelgen.model.options import ModelOptions
from labelgen.pretraining.corruption import MIXTURE
from labelgen.tasks.options import TaskOptions


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    train: tuple[str, ...]
    """Logs to train on: files or folders of records."""
    valid: tuple[str, ...] = ()
    """Logs on which the loss is measured after each epoch."""
    mix: tuple[float, ...] = ()
    """How often each log of `train` is gone through in an epoch, in their order; 0.5 is another half each epoch. Once,
    where it is not given."""
    format: str = "labelgen"
    """Form of the records (`labelgen data formats` lists them)."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the reader of that form is told, such as {dialogue: id}: `--data.options.NAME VALUE` is `--option NAME=VALUE` of the
    other commands."""
    max_bad_rate: float = MAX_BAD_RATE
    """Fail with exit code 3 above this share of rejected records."""
    workers: int = 0
    """Processes that prepare batches; 0 prepares them in the training process."""


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    turns: int = 64
    """Most turns of a batch, in one process; a longer dialogue is a batch of its own."""
    words: int = 4096
    """Most words of a batch, requests and responses together; it bounds the memory where texts are long."""
    encoder_tokens: int | None = None
    """Pass a batch's texts through the encoder in pieces of at most so many tokens, and once more for their gradient: memory
    then hardly grows with the batch, and a step takes about 1.3 times as long. All at once where it is not given."""
    accumulate: int = 1
    """Batches, in each process, whose gradients make one step."""
    online_share: float = 0.0
    """Share of the batches whose turns see no later ones, so that the model also serves `labelgen label --online`."""


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    annotators: tuple[str, ...] = ("kind=person",)
    """Whose annotations to learn from: `kind=` and a kind, or names (`*` and `?` as in file names). Where several of
    one dialogue fit, each one's labels weigh the same."""
    feedback: bool = False
    """Learn from the records' own targets, which `labelgen feedback aggregate` writes."""
    evidence_hidden: float = 0.5
    """Probability, anew in each epoch, that a dialogue is shown without the feedback that its own targets come from,
    where `feedback` is true. Above 0, the dialogues of `data.valid` are all shown without any evidence: of the signals
    that they have and of those that the detectors find."""


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    learning_rate: float = 3e-4
    """Peak learning rate of the new layers (AdamW)."""
    encoder_learning_rate: float = 2e-5
    """Peak learning rate of the pretrained turn encoder."""
    weight_decay: float = 0.01
    """Of matrices; biases and norms are never decayed."""
    warmup: float = 0.06
    """Share of the steps in which the learning rates rise; they fall linearly to zero over the rest."""
    clip: float = 1.0
    """Greatest norm of a step's gradient; 0 does not clip."""
    learn_task_weights: bool = False
    """Learn, beside the weights that `tasks` gives, how much each task weighs: one whose loss stays large weighs less."""


@dataclass(frozen=True, kw_only=True)
class LengthOptions:
    max_epochs: int = 3
    """Passes over the training logs."""
    max_steps: int | None = None
    """Steps of the optimizer; where given, it decides and not max_epochs."""
    max_minutes: float | None = None
    """Stop after this time, all sittings together, wherever the schedule is then. Raise it to go on."""
    patience: int | None = None
    """Stop after so many epochs in a row without a smaller loss on `data.valid`. Learning rates fall as if it were not given."""
    keep: Literal["last", "best"] = "last"
    """Which weights become the model: the last, or those of the epoch with the least loss on `data.valid`, if there is
    such a log."""


@dataclass(frozen=True, kw_only=True)
class HardwareOptions:
    accelerator: str = "auto"
    """`cpu`, `gpu` or whatever Lightning finds."""
    devices: int = 1
    """Processes on each machine, one a device."""
    nodes: int = 1
    """Machines."""
    strategy: str = "auto"
    """How devices share the work: `auto`, `ddp`, `fsdp` or another of Lightning's names."""
    precision: Literal["32", "bf16", "auto"] = "32"
    """Arithmetic of the forward pass; weights and their updates stay in 32 bits. `auto`: on a GPU bf16 if it has bf16; on a CPU
    32 unless bf16 is measured to be at least 10% faster. The run's config records the choice, and resuming keeps it."""
    threads: int | None = None
    """Threads of one process on the CPU; as many as there are cores where it is not given."""


@dataclass(frozen=True, kw_only=True)
class TrackingOptions:
    wandb: Literal["off", "offline", "online"] = "offline"
    """Weights & Biases beside metrics.jsonl: a folder on this machine, or sent to its service."""
    log_every: int = 10
    """Steps between two rows of metrics.jsonl."""
    checkpoint_every: int = 200
    """Steps between two checkpoints; more are written at the end of an epoch, unless a tenth as many have not gone by since the last,
    and where the run ends."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What pretraining and finetuning share."""

    out: str
    """Folder of the run. The same command goes on with what it finds there."""
    data: DataOptions
    """Logs."""
    tasks: Mapping[str, TaskOptions]
    """What is learned: for each task its options, such as '{goals: {}, quality: {weight: 2}}'."""
    model: ModelOptions = field(default_factory=ModelOptions)
    """The model."""
    init: str | None = None
    """Model folder to start from; weights whose names and shapes agree are taken over."""
    batch: BatchOptions = field(default_factory=BatchOptions)
    """Batches."""
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    """Steps."""
    length: LengthOptions = field(default_factory=LengthOptions)
    """When it ends."""
    hardware: HardwareOptions = field(default_factory=HardwareOptions)
    """Where it runs."""
    tracking: TrackingOptions = field(default_factory=TrackingOptions)
    """What is written down while it runs."""
    seed: int = 0
    """Same seed, same model on one kind of CPU and number of threads."""


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainingOptions):
    """Training towards annotations and feedback."""

    targets: TargetOptions = field(default_factory=TargetOptions)
    """Where targets come from."""


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(TrainingOptions):
    """Training towards what unlabeled dialogues tell of themselves."""

    mixture: Mapping[str, float] = field(default_factory=lambda: dict(MIXTURE))
    """Shares of the dialogues that are given to each corruption; one that is not named gets none."""
    pool: int = 20_000
    """Dialogues of the training logs, drawn once, that other responses and spliced dialogues come from; held in memory."""


FREE = ("length.max_minutes", "tracking.", "data.workers", "out")
"""Options that may differ between the sittings of one run: they change no weight."""
