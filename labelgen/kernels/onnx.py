"""A text encoder by ONNX Runtime, for labeling on a CPU: BERT, RoBERTa and similar ones, in fp32 or with 8-bit products.

The graph is written operator by operator from the weights, with ONNX Runtime's fused operators, for batches of any number of passages
and any length. That takes less than a second, so nothing is exported or cached.

In 8 bits, weights have a scale for each output and activations a scale for each token, so a passage does not change with the others of
its batch. Sources: Devlin et al. 2019, "BERT"; Dettmers et al. 2022, "LLM.int8()" (vector-wise quantization); Xiao et
al. 2023, "SmoothQuant" (columns that are large in activations are made smaller there and larger in the weights)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labelgen.base.errors import UsageError

_KNOWN = ("bert", "roberta", "xlm-roberta", "camembert")
_INSTALL = "pip install 'labelgen[fast]', or use --precision 32"
_OPERATORS, _FORMAT = 21, 10
"""Versions of ONNX's operators and file format; they need ONNX Runtime 1.20."""
_CONTRIBUTED = "com.microsoft"
_SAMPLE = (32, 24)
"""Number and length of the artificial passages that show which columns of activations are large."""
_GELU_MINIMUM = -0.17
"""Lower bound of GELU, by which its outputs are moved to use all 8 bits."""


class OnnxEncoder:
    """A copy of the encoder's current weights as a session of ONNX Runtime on one thread.

    Raises UsageError if ONNX Runtime is not installed or has no graph for this encoder."""

    def __init__(self, encoder: Any, int8: bool) -> None:
        config = encoder.config
        if next(encoder.parameters()).device.type != "cpu":
            raise UsageError("ONNX Runtime encodes texts on a CPU", "--device", "use --device cpu or --precision 32")
        simple = getattr(config, "position_embedding_type", "absolute") == "absolute" and config.hidden_act == "gelu"
        if config.model_type not in _KNOWN or not simple or getattr(config, "is_decoder", False):
            what = f"there is no ONNX graph for an encoder of the kind {config.model_type}, only for those like BERT"
            raise UsageError(what, "--precision", "use --precision 32")
        try:
            import onnx  # noqa: F401 - used by the graph
            import onnxruntime as runtime
        except ImportError as error:
            raise UsageError(f"{error.name} is not installed", "--precision", _INSTALL) from error
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        # Batches have many shapes: a plan or an arena for each would only grow.
        options.enable_mem_pattern = options.enable_cpu_mem_arena = False
        model = _Graph(int8).encoder(encoder)
        self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, ids: Int[Tensor, "n L"], mask: Int[Tensor, "n L"]) -> Float[Tensor, "n L d"]:
        """Last hidden states of padded passages. mask: 1 for real tokens."""
        [states] = self._session.run(None, {"ids": ids.int().numpy(), "mask": mask.int().numpy()})
        return torch.from_numpy(states)


class _Graph:
    """Writer of an ONNX graph; a value is the name of an operator's output or a constant."""

    def __init__(self, int8: bool) -> None:
        import onnx

        self._onnx = onnx
        self._int8 = int8
        self._levels = 127 if _adds_in_32_bits() else 63
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def encoder(self, encoder: Any) -> bytes:
        """The serialized model: ids and mask to hidden states."""
        config, embeddings = encoder.config, encoder.embeddings
        # RoBERTa numbers positions from its padding id plus one.
        shifted = config.model_type != "bert"
        first = embeddings.padding_idx + 1 if shifted else 0
        positions = embeddings.position_embeddings.weight[first:] + embeddings.token_type_embeddings.weight[0]
        words, places = self.constant(embeddings.word_embeddings.weight), self.constant(positions)
        embed = ["ids", "", words, places, "", *self._norm(embeddings.LayerNorm)]
        states, _ = self.node("EmbedLayerNormalization", embed, outputs=2, epsilon=config.layer_norm_eps)
        if self._int8:
            self._size = self.node("Shape", ["ids"], domain="")
            self._largest = _largest_inputs(encoder)
        for layer in encoder.encoder.layer:
            states = self._layer(layer, states, config.num_attention_heads)
        self._nodes.append(self._onnx.helper.make_node("Identity", [states], ["states"]))
        return self._serialized(config.hidden_size)

    def node(
        self, kind: str, inputs: Sequence[str], outputs: int = 1, domain: str = _CONTRIBUTED, **attributes: Any
    ) -> Any:
        names = [f"value{len(self._nodes)}.{k}" for k in range(outputs)]
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any) -> str:
        name = f"constant{len(self._constants)}"
        array = value.detach().contiguous().numpy() if isinstance(value, Tensor) else np.asarray(value)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _serialized(self, width: int) -> bytes:
        make, kinds = self._onnx.helper, self._onnx.TensorProto
        inputs = [make.make_tensor_value_info(name, kinds.INT32, ["n", "L"]) for name in ("ids", "mask")]
        outputs = [make.make_tensor_value_info("states", kinds.FLOAT, ["n", "L", width])]
        graph = make.make_graph(self._nodes, "encoder", inputs, outputs, self._constants)
        domains = [make.make_opsetid("", _OPERATORS), make.make_opsetid(_CONTRIBUTED, 1)]
        return make.make_model(graph, opset_imports=domains, ir_version=_FORMAT).SerializeToString()  # type: ignore[no-any-return]

    def _norm(self, norm: Any) -> list[str]:
        return [self.constant(norm.weight), self.constant(norm.bias)]

    def _layer(self, layer: Any, states: str, heads: int) -> str:
        """A post-norm Transformer layer."""
        attention, after = layer.attention.self, layer.attention.output
        maps = [attention.query, attention.key, attention.value]
        if self._int8:
            mixed, bias = self._product(states, maps)
            split = self.node("Split", [mixed], outputs=3, domain="", axis=2, num_outputs=3)
            seen = self.node("MultiHeadAttention", [*split, bias, "mask"], num_heads=heads)
        else:
            weight, offset = (torch.cat([getattr(one, name) for one in maps]) for name in ("weight", "bias"))
            inputs = [states, self.constant(weight.T), self.constant(offset), "mask"]
            seen = self.node("Attention", inputs, num_heads=heads)
        states = self._added(self._product(seen, [after.dense]), states, after.LayerNorm)
        wide = self.node("BiasGelu", self._product(states, [layer.intermediate.dense]))
        return self._added(self._product(wide, [layer.output.dense], _GELU_MINIMUM), states, layer.output.LayerNorm)

    def _added(self, product: tuple[str, str], states: str, norm: Any) -> str:
        inputs = [product[0], states, *self._norm(norm), product[1]]
        return self.node("SkipLayerNormalization", inputs, epsilon=norm.eps)  # type: ignore[no-any-return]

    def _product(self, rows: str, maps: Sequence[Any], least: float | None = None) -> tuple[str, str]:
        """Several linear maps of one input as one product, and the bias that is still to be added. least: of the input, where known."""
        weight, bias = (torch.cat([getattr(one, name).detach() for one in maps]) for name in ("weight", "bias"))
        if not self._int8:
            return self.node("MatMul", [rows, self.constant(weight.T)], domain=""), self.constant(bias)
        if least is None:
            share = (self._largest[maps[0]].clamp(min=1e-5) / weight.abs().amax(0).clamp(min=1e-5)).sqrt()
            rows, weight = self.node("Mul", [rows, self.constant(1 / share)], domain=""), weight * share
        scale = weight.abs().amax(1).clamp(min=1e-12) / self._levels
        whole = (weight / scale[:, None]).round().to(torch.int8)
        rows = self.node("Reshape", [rows, self.constant(np.array([-1, weight.shape[1]]))], domain="")
        axis, one = self.constant(np.array([1])), self.constant(np.float32(1.0))
        if least is None:
            positive, zero, steps = self.node("Abs", [rows], domain=""), np.uint8(128), 127
        else:
            rows = self.node("Sub", [rows, self.constant(np.float32(least))], domain="")
            positive, zero, steps = rows, np.uint8(0), 255
            bias = bias + least * whole.sum(1) * scale
        largest = self.node("ReduceMax", [positive, axis], domain="", keepdims=0)
        step = self.node("Mul", [largest, self.constant(np.float32(1 / steps))], domain="")
        step = self.node("Max", [step, self.constant(np.float32(1e-12))], domain="")
        center = self.constant(zero)
        centers = self.node("Expand", [center, self.node("Shape", [step], domain="")], domain="")
        integers = self.node("QuantizeLinear", [rows, step, centers], domain="", axis=0)
        inputs = [integers, self.constant(whole.T), one, self.constant(scale), center]
        product = self.node("MatMulIntegerToFloat", inputs)
        product = self.node("Mul", [product, self.node("Unsqueeze", [step, axis], domain="")], domain="")
        shape = self.node("Concat", [self._size, self.constant(np.array([len(weight)]))], domain="", axis=0)
        return self.node("Reshape", [product, shape], domain=""), self.constant(bias)


def _adds_in_32_bits() -> bool:
    """Whether this CPU adds 8-bit products in 32 bits (VNNI). Others add two in 16 bits, which overflow unless weights have 7 bits."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(has for name, has in known.items() if "vnni" in name)


def _largest_inputs(encoder: Any) -> dict[Any, Float[Tensor, " d"]]:
    """Largest absolute value of each input of the linear maps, over artificial passages with special and random tokens."""
    largest: dict[Any, Tensor] = {}

    def note(module: Any, inputs: tuple[Tensor]) -> None:
        largest[module] = inputs[0].detach().flatten(0, -2).abs().amax(0)

    known = encoder.config.vocab_size
    ids = torch.randint(known, _SAMPLE, generator=torch.Generator().manual_seed(0))
    # Special tokens have low numbers in most vocabularies.
    ids[:, ::4] = torch.arange(ids[:, ::4].numel()).view(len(ids), -1) % known
    hooks = [m.register_forward_pre_hook(note) for m in encoder.modules() if isinstance(m, nn.Linear)]
    with torch.inference_mode():
        encoder(inputs_embeds=encoder.get_input_embeddings()(ids))
    for hook in hooks:
        hook.remove()
    return largest
