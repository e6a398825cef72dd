"""Matrix products in 8 bits by ONNX Runtime, for labeling on a CPU.

Weights have a scale for each output, activations a scale and offset for each row. Integer sums are exact, so the product is
batch-invariant. Source: Dettmers et al. 2022, "LLM.int8()" (vector-wise quantization)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from labelgen.base.errors import UsageError
from labelgen.kernels.processor import crash_of, first_cpu

_INSTALL = "pip install -e '.[int8]' -c constraints.txt, or use --precision 32"
_OPERATORS = 21
"""Version of ONNX's operator set; needs ONNX Runtime 1.19."""

Rows = Float[Tensor, "rows d"]
Wide = Float[Tensor, "rows _"]


def check_int8() -> None:
    """Raises UsageError if ONNX Runtime is not installed or its products crash on this CPU."""
    _libraries()
    if "amx_int8" not in first_cpu().get("flags", "").split():
        return
    fault = crash_of(lambda: Int8Product(torch.ones(64, 64), torch.ones(64))(torch.ones(64, 64)))
    if fault is not None:
        raise UsageError(
            f"8-bit products {fault} on this CPU, which announces AMX", "--precision int8", "use --precision 32"
        )


class Int8Product:
    """Linear map with 8-bit weights and activations."""

    def __init__(self, weight: Float[Tensor, "_ d"], bias: Float[Tensor, " _"]) -> None:
        # Without VNNI instructions the sum of two products has 16 bits, which holds 7-bit weights only.
        vnni = {"avx512_vnni", "avx_vnni"} & set(first_cpu().get("flags", "").split())
        most = 127 if vnni else 63
        scale = weight.detach().float().abs().amax(1).clamp_(min=1e-12) / most
        whole = (weight.detach() / scale[:, None]).round().to(torch.int8)
        self._session = _session(whole, scale)
        self._sums = whole.sum(1) * scale
        self._bias = bias.detach().float()

    def __call__(self, rows: Rows) -> Wide:
        # Two calls, because torch's aminmax takes ten times as long over rows. The range includes zero, so zero is exact.
        least = rows.amin(1).clamp_(max=0.0)
        scale = (rows.amax(1).clamp_(min=0.0) - least).clamp_(min=1e-12) / 255
        zero = (least / -scale).round_()
        inputs = {"rows": rows, "row_scale": scale, "row_zero": zero.to(torch.uint8)}
        [products] = self._session.run(None, {name: value.numpy() for name, value in inputs.items()})
        out = torch.addcmul(self._bias, torch.from_numpy(products), scale[:, None])
        return out.addcmul_((-zero * scale)[:, None], self._sums)

    def gelu(self, rows: Rows) -> Wide:
        return F.gelu(self(rows))

    def added(self, rows: Rows, to: Wide) -> Wide:
        """The product plus `to`."""
        return self(rows).add_(to)


def _session(weight: Tensor, scale: Tensor) -> Any:
    """ONNX graph: quantize the rows, multiply exactly in integers, and scale each output."""
    onnx, runtime = _libraries()
    make, kinds = onnx.helper, onnx.TensorProto
    outer, inner = weight.shape
    inputs = {"rows": (kinds.FLOAT, inner), "row_scale": (kinds.FLOAT,), "row_zero": (kinds.UINT8,)}
    values = {"weight": weight.T.contiguous().numpy(), "scale": scale.numpy(), "one": torch.ones(()).numpy()}
    product = ["integers", "weight", "one", "scale"]
    graph = make.make_graph(
        [
            make.make_node("QuantizeLinear", list(inputs), ["integers"], axis=0),
            make.make_node("MatMulIntegerToFloat", product, ["products"], domain="com.microsoft"),
        ],
        "product",
        [make.make_tensor_value_info(name, kind, ["count", *more]) for name, (kind, *more) in inputs.items()],
        [make.make_tensor_value_info("products", kinds.FLOAT, ["count", outer])],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    domains = [make.make_opsetid("", _OPERATORS), make.make_opsetid("com.microsoft", 1)]
    model = make.make_model(graph, opset_imports=domains, ir_version=10)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed", "--precision int8", _INSTALL) from error
    return onnx, onnxruntime
