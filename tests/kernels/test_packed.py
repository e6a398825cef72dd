"""Packed attention by the variable-length kernel gives the states and gradients of padded batches."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModel

from labelgen.features.pretrained import load_encoder
from labelgen.nn import turn_encoder
from labelgen.nn.turn_encoder import TurnEncoder

SHAPES = [(5, 2), (3, 4), (1, 7), (2, 40)]
_SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
    "pad_token_id": 1,
}
ENCODERS: dict[str, dict[str, Any]] = {
    "roberta": {**_SIZES, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "eurobert": {**_SIZES, "num_key_value_heads": 2, "head_dim": 8},
}


@pytest.fixture(params=ENCODERS)
def encoder(tiny_encoder: Any, request: pytest.FixtureRequest) -> TurnEncoder:
    load_encoder(str(tiny_encoder))  # registers packed attention
    torch.manual_seed(0)
    made = AutoModel.from_config(AutoConfig.for_model(request.param, **ENCODERS[request.param]))
    return TurnEncoder(made, 32, frozen=False).train()


def varlen(query: Tensor, key: Tensor, value: Tensor, starts: Tensor, *_: Any, scale: float, **__: Any) -> Tensor:
    """What torch's kernel computes, passage by passage."""
    times = query.shape[1] // key.shape[1]
    out = []
    for start, end in zip(starts.tolist(), starts.tolist()[1:], strict=False):
        q = query[start:end].transpose(0, 1)
        k, v = (x[start:end].transpose(0, 1).repeat_interleave(times, 0) for x in (key, value))
        out.append(((q @ k.transpose(1, 2) * scale).softmax(dim=-1) @ v).transpose(0, 1))
    return torch.cat(out)


def states_and_gradients(encoder: TurnEncoder, groups: list[Tensor]) -> list[Tensor]:
    encoder.zero_grad()
    states = encoder.states(groups)
    weights = torch.linspace(-1, 1, 32)
    torch.stack([(x.square() * weights).mean() for x in states]).sum().backward()
    return [*(x.detach() for x in states), *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)]


def test_packed_equals_padded(encoder: TurnEncoder, monkeypatch: pytest.MonkeyPatch):
    groups = [torch.randint(5, 60, shape) for shape in SHAPES]
    padded = states_and_gradients(encoder, groups)
    monkeypatch.setattr(turn_encoder, "can_pack", lambda _: True)
    monkeypatch.setattr("torch.get_autocast_dtype", lambda _: torch.float32)
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen)
    for one, two in zip(padded, states_and_gradients(encoder, groups), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


class CountedOps(TorchDispatchMode):
    """Counts operators by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.name()] += 1
        return func(*args, **(kwargs or {}))


def test_kernel_runs_once_a_layer(encoder: TurnEncoder, monkeypatch: pytest.MonkeyPatch):
    """torch's own operator and its gradient, on a device without data."""
    monkeypatch.setattr(turn_encoder, "can_pack", lambda _: True)
    monkeypatch.setattr("torch.get_autocast_dtype", lambda _: torch.bfloat16)
    encoder = encoder.to("meta", torch.bfloat16)
    with CountedOps() as ops:
        states = encoder.states([torch.zeros(shape, dtype=torch.long, device="meta") for shape in SHAPES])
        torch.stack([x.sum() for x in states]).sum().backward()
    assert [x.shape for x in states] == [(*shape, 32) for shape in SHAPES]
    assert ops.counts["torch_attn::_varlen_attn"] == 4
    assert ops.counts["torch_attn::_varlen_attn_backward"] == 4
    assert not [name for name in ops.counts if "scaled_dot_product" in name or "bmm" in name]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_kernel_on_gpu_equals_padded_within_bf16(encoder: TurnEncoder, monkeypatch: pytest.MonkeyPatch):
    encoder = encoder.cuda()
    groups = [torch.randint(5, 60, shape).cuda() for shape in SHAPES]
    with torch.autocast("cuda", torch.bfloat16), CountedOps() as ops:
        packed = encoder.states(groups)
        assert ops.counts["torch_attn::_varlen_attn"] == 4
        monkeypatch.setattr(turn_encoder, "can_pack", lambda _: False)
        for one, two in zip(packed, encoder.states(groups), strict=True):
            torch.testing.assert_close(one, two, rtol=2e-2, atol=2e-2)
