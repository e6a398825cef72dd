"""LoRA: low-rank adapters of the encoder's linear maps, trained while the encoder's own weights stay fixed.

The adapters live during training only. At the end they are merged into the weights, so a model folder does not tell how its encoder
was trained. Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models"; the adapters are those of peft.
The only importer of peft."""

from importlib.util import find_spec

from labelgen.base.errors import UsageError
from labelgen.nn.turn_encoder import TurnEncoder, use_fast_dropout
from labelgen.training.options import LoraOptions

_ALPHA = 16
"""Scale of the adapters: their product counts _ALPHA / rank."""


def check_peft(options: LoraOptions) -> None:
    """Raises UsageError if the options ask for adapters and peft is not installed."""
    if options.rank and find_spec("peft") is None:
        raise UsageError("LoRA needs the package peft", "lora.rank", "pip install 'labelgen[lora]'")


def add_adapters(turn_encoder: TurnEncoder, options: LoraOptions) -> None:
    """Fix the weights of the encoder and add adapters with weights from torch's seed. At first they change no vector."""
    from peft.tuners import lora

    encoder = turn_encoder.encoder.requires_grad_(False)
    config = lora.LoraConfig(r=options.rank, lora_alpha=_ALPHA, target_modules="all-linear")
    lora.LoraModel(encoder, config, "default")
    use_fast_dropout(encoder)
    turn_encoder.train(turn_encoder.training)


def merge_adapters(turn_encoder: TurnEncoder) -> None:
    """Add the product of each adapter to the weights it adapts and remove it; no effect on an encoder without adapters."""
    encoder = turn_encoder.encoder
    adapters = [(name, part) for name, part in encoder.named_modules() if hasattr(part, "base_layer")]
    training = turn_encoder.training
    # Weights change, which products of evaluation mode do not notice.
    turn_encoder.train()
    for name, adapter in adapters:
        adapter.merge()
        parent, _, last = name.rpartition(".")
        setattr(encoder.get_submodule(parent), last, adapter.base_layer)
    encoder.requires_grad_(not turn_encoder.frozen)
    turn_encoder.train(training)
