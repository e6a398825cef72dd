"""Labels do not depend on how the work is shared, whichever kernels the libraries choose.

The libraries' levels are fixed when they are loaded, so each runs in a process of its own. Caps above what the CPU has change
nothing."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from labeled import labeled_dialogue
from torch.utils._python_dispatch import TorchDispatchMode

from labelgen.data.log import write_log
from labelgen.kernels.batch_invariant import BLOCK
from labelgen.kernels.prepared import TOKENS
from labelgen.model.annotator import Annotator
from labelgen.model.folder import load_model, save_model

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
LEVELS = {"own": {}, "AVX512_CORE": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "AVX2": AVX2}
PRECISIONS = ("32", "bf16", "int8") if find_spec("onnx") and find_spec("onnxruntime") else ("32", "bf16")

RUNS = """
import sys
from pathlib import Path
from labelgen.cli.main import main
from labelgen.data.log import Log

if __name__ == "__main__":
    folder, model = Path(sys.argv[1]), sys.argv[2]
    for precision in sys.argv[3:]:
        said = []
        for name, *words in (
            ("in", "--workers", "1"),
            ("in", "--workers", "1", "--shard-dialogues", "1"),
            ("in", "--workers", "2", "--shard-dialogues", "5"),
            ("backwards", "--workers", "1", "--shard-dialogues", "7"),
        ):
            if precision != "32" and "2" in words:
                continue
            out = folder / f"out-{precision}-{len(said)}"
            words = [*words, "--precision", precision]
            assert main(["label", str(folder / f"{name}.jsonl"), str(out), "--model", model, *words]) == 0
            said.append(sorted((out / f"{name}.jsonl").read_bytes().splitlines()))
        assert len(said[0]) == 24
        assert all(one == said[0] for one in said), f"labels differ by shards, workers or order, precision {precision}"
        assert not any(d.annotations[-1].provenance.batch_dependent for d in Log([str(folder / f"out-{precision}-0")]))
"""


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of its weights tell; those of a new dialogue encoder are zero."""
    made = load_model(tiny_model)
    with torch.no_grad():
        for weight in made.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    folder = tmp_path_factory.mktemp("stirred") / "model"
    save_model(made.eval(), folder, {})
    return folder


@pytest.mark.parametrize("level", LEVELS)
def test_labels_any_sharding_same_bytes(level: str, model: Path, tmp_path: Path):
    dialogues = [labeled_dialogue(seed) for seed in range(24)]
    write_log(tmp_path / "in.jsonl", dialogues)
    write_log(tmp_path / "backwards.jsonl", dialogues[::-1])
    script = tmp_path / "runs.py"
    script.write_text(RUNS)
    words = [sys.executable, str(script), str(tmp_path), str(model), *PRECISIONS]
    done = subprocess.run(words, env={**os.environ, **LEVELS[level]}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_matrix_products_two_row_counts_are_covered(model: Path):
    """However many dialogues, turns and tokens there are: those of the text encoder, and those of all else."""
    met: set[int] = set()

    class Counted(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            if name in ("linear", "addmm", "mm", "_linear_pointwise") or (name == "matmul" and args[1].dim() == 2):
                at = 1 if name == "addmm" else 0
                met.add(args[at].numel() // args[at].shape[-1])
            return func(*args, **(kwargs or {}))

    annotator = Annotator(model)
    for count in (1, 3, 24):
        with Counted():
            annotator.annotate([labeled_dialogue(seed) for seed in range(count)])
    assert met == {BLOCK, TOKENS}
