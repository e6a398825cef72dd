"""The variable-length kernel and the loop over token lengths give the same states and gradients."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModel

from labelgen.features.pretrained import load_encoder
from labelgen.kernels import packed
from labelgen.kernels.packed import PACKED, Packing, packed_attention, packing_of
from labelgen.nn.turn_encoder import TurnEncoder

SHAPES = [(3, 4), (1, 7), (5, 2), (2, 40)]
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


@pytest.fixture
def make(tiny_encoder: Any) -> Callable[[str], TurnEncoder]:
    load_encoder(str(tiny_encoder))  # registers packed attention

    def of(kind: str) -> TurnEncoder:
        torch.manual_seed(0)
        encoder = TurnEncoder(AutoModel.from_config(AutoConfig.for_model(kind, **ENCODERS[kind])), 32, frozen=False)
        assert encoder.encoder.config._attn_implementation == PACKED
        return encoder.train()

    return of


@pytest.fixture
def groups() -> list[Tensor]:
    return [torch.randint(5, 60, shape) for shape in SHAPES]


def varlen(
    query: Tensor, key: Tensor, value: Tensor, starts: Tensor, ends: Tensor, *longest: int, scale: float, **_: Any
) -> Tensor:
    """What torch's kernel computes, passage by passage."""
    assert torch.equal(starts, ends)
    assert starts.dtype == torch.int32
    assert longest == (int(starts.diff().max()),) * 2
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


@pytest.mark.parametrize("kind", ENCODERS)
def test_variable_length_kernel_equals_loop_over_lengths(
    make: Callable[[str], TurnEncoder], groups: list[Tensor], kind: str, monkeypatch: pytest.MonkeyPatch
):
    encoder = make(kind)
    by_loop = states_and_gradients(encoder, groups)
    kernel = Mock(side_effect=varlen)
    monkeypatch.setattr(packed, "_has_kernel", lambda *_: True)
    monkeypatch.setattr(packed, "varlen_attn", kernel)
    by_kernel = states_and_gradients(encoder, groups)
    assert kernel.call_count == 4
    assert len(by_loop) > 40
    for one, two in zip(by_loop, by_kernel, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_grouped_queries_equal_eager_attention(make: Callable[[str], TurnEncoder], groups: list[Tensor]):
    encoder = make("eurobert").eval()
    with torch.no_grad():
        states = encoder.states(groups)
        encoder.encoder.set_attn_implementation("eager")
        for ids, own in zip(groups, states, strict=True):
            torch.testing.assert_close(own, encoder.encoder(input_ids=ids).last_hidden_state, rtol=1e-5, atol=1e-5)


class CountedOps(TorchDispatchMode):
    """Counts operators by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.name()] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("chunk_tokens", [None, 40])
def test_variable_length_kernel_runs_once_a_layer(
    make: Callable[[str], TurnEncoder],
    groups: list[Tensor],
    kind: str,
    chunk_tokens: int | None,
    monkeypatch: pytest.MonkeyPatch,
):
    """torch's own operator and its gradient, on a device without data."""
    monkeypatch.setattr(packed, "_has_flash_attention", lambda _: True)
    encoder = make(kind).to("meta", torch.bfloat16)
    encoder.chunk_tokens = chunk_tokens
    chunks = 1 if chunk_tokens is None else 3
    with CountedOps() as ops:
        states = encoder.states([ids.to("meta") for ids in groups])
        torch.stack([x.sum() for x in states]).sum().backward()
    assert [x.shape for x in states] == [(*shape, 32) for shape in SHAPES]
    assert all(p.grad is not None for name, p in encoder.named_parameters() if "pooler" not in name)
    # The backward pass computes chunks again.
    assert ops.counts["torch_attn::_varlen_attn"] == 4 * chunks * (1 if chunk_tokens is None else 2)
    assert ops.counts["torch_attn::_varlen_attn_backward"] == 4 * chunks
    assert not [name for name in ops.counts if "scaled_dot_product" in name or "bmm" in name]


@pytest.mark.parametrize(
    ("dtype", "width", "dropout", "kernel"),
    [
        (torch.bfloat16, 32, 0.0, True),
        (torch.float16, 64, 0.0, True),
        (torch.float32, 32, 0.0, False),
        (torch.bfloat16, 12, 0.0, False),
        (torch.bfloat16, 32, 0.1, False),
    ],
)
def test_packed_attention_on_cuda_takes_kernel_where_it_fits(
    dtype: torch.dtype, width: int, dropout: float, kernel: bool, monkeypatch: pytest.MonkeyPatch
):
    """On fake tensors of CUDA, which have a device, a dtype and a shape."""
    monkeypatch.setattr(packed, "_has_flash_attention", lambda device: device.type == "cuda")
    with FakeTensorMode(), CountedOps() as ops:
        q, k, v = (torch.empty(1, 4, 109, width, device="cuda", dtype=dtype) for _ in range(3))
        packing = Packing(tuple(SHAPES), torch.zeros(12, device="cuda", dtype=torch.int32))
        out, _ = packed_attention(torch.nn.Identity(), q, k, v, None, None, dropout, packing)
    assert out.shape == (1, 109, 4, width)
    assert out.device.type == "cuda"
    assert out.dtype == dtype
    assert ops.counts["torch_attn::_varlen_attn"] == int(kernel)


def test_packing_offsets_are_first_tokens(groups: list[Tensor]):
    packing = packing_of(groups)
    lengths = [length for count, length in SHAPES for _ in range(count)]
    assert packing.offsets.tolist() == [sum(lengths[:k]) for k in range(len(lengths) + 1)]
    assert packing.longest == 40


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("kind", ENCODERS)
def test_variable_length_kernel_on_gpu_equals_loop_within_bf16(
    make: Callable[[str], TurnEncoder], groups: list[Tensor], kind: str, monkeypatch: pytest.MonkeyPatch
):
    encoder = make(kind).to("cuda", torch.bfloat16)
    on_device = [ids.cuda() for ids in groups]
    by_kernel = encoder.states(on_device)
    monkeypatch.setattr(packed, "_has_kernel", lambda *_: False)
    for one, two in zip(by_kernel, encoder.states(on_device), strict=True):
        torch.testing.assert_close(one, two, rtol=2e-2, atol=2e-2)
