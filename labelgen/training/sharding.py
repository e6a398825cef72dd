"""Weights, gradients and optimizer states in shards, one for each process: FSDP2 by Lightning's ModelParallelStrategy.

The whole model is one unit: its weights are gathered before a step's forward pass and freed after the backward pass. Layers are no units
of their own, because the processes would have to call them equally often, and the number of calls depends on the texts and targets of a
batch (docs/explanation/decisions.md). Source: Zhao et al. 2023, "PyTorch FSDP"."""

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from typing_extensions import override

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_SOME = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)
"""A parameter that never had a gradient has no state."""


def shard(module: LightningModule, mesh: DeviceMesh) -> None:
    """Divide the module's weights among the processes of the mesh. Its steps gather them."""
    fully_shard(module, mesh=mesh["data_parallel"])
    for step in ("training_step", "validation_step"):
        register_fsdp_forward_method(module, step)


def whole(tensor: Tensor) -> Tensor:
    """The tensor of which each process has a shard; any other tensor as it is. All processes have to call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


class ShardedStrategy(ModelParallelStrategy):
    """Shards whose checkpoints are those of other strategies: whole tensors, with optimizer states by the names of parameters."""

    def __init__(self, processes: int) -> None:
        super().__init__(data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False)

    @override
    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        assert self.model is not None
        plain = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        return get_optimizer_state_dict(self.model, plain, options=_WHOLE)

    @override
    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        assert self.model is not None
        checkpoint: dict[str, Any] = self.checkpoint_io.load_checkpoint(
            Path(self.broadcast(checkpoint_path)), weights_only=weights_only
        )
        set_model_state_dict(self.model, checkpoint["state_dict"], options=_WHOLE)
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            set_optimizer_state_dict(self.model, optimizer, state, options=_SOME)
        return checkpoint
