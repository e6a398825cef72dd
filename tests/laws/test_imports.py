"""Layers of the code (docs/explanation/architecture.md): imports go down only, and heavy libraries stay in their modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "labelgen"
LAYERS = (
    ("base",),
    ("data",),
    ("metrics",),
    ("readers", "agreement", "confidence"),
    ("feedback", "review", "simulator"),
    ("pretraining",),
    ("kernels",),
    ("features",),
    ("verdicts",),
    ("nn", "requests"),
    ("tasks",),
    ("model",),
    ("training", "labeling"),
    ("evaluation", "report"),
    ("steps",),
    ("cli",),
    ("api",),
)
LAYER_OF = {package: layer for layer, packages in enumerate(LAYERS) for package in packages}
KERNELS = LAYER_OF["kernels"]
HEAVY = {"torch", "torchaudio", "transformers", "pytorch_lightning", "lightning", "torchmetrics"}
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
ONLY_IMPORTER = {
    "torchaudio": {"features/sound.py"},
    "transformers": {"features/pretrained.py"},
    "wandb": {"training/wandb_run.py"},
}


def imports(tree: ast.AST, for_types: bool = False) -> Iterator[str]:
    """Every module that is imported anywhere; for_types: also those that only the type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "labelgen")
        else:
            yield from imports(node, for_types)


def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def test_every_package_has_a_layer():
    packages = {path.parts[0] for path in MODULES if len(path.parts) > 1}
    assert packages == set(LAYER_OF)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_go_down_only(path: Path):
    if len(path.parts) == 1:
        assert not any(
            name.startswith("labelgen.") for name in imports(parse(path), for_types=True) if path.name != "__init__.py"
        )
        return
    own = path.parts[0]
    for name in imports(parse(path), for_types=True):
        parts = name.split(".")
        if parts[0] != "labelgen" or len(parts) == 1 or parts[1] not in LAYER_OF or parts[1] == own:
            continue
        assert LAYER_OF[parts[1]] < LAYER_OF[own], f"{path} in layer {LAYER_OF[own]} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if LAYER_OF.get(p.parts[0], 0) < KERNELS], ids=str)
def test_packages_below_kernels_import_no_torch(path: Path):
    found = {name.split(".")[0] for name in imports(parse(path), for_types=True)} & HEAVY
    assert not found


def test_heavy_library_has_one_importing_module():
    for library, allowed in ONLY_IMPORTER.items():
        importers = {str(path) for path in MODULES if library in {name.split(".")[0] for name in imports(parse(path))}}
        assert importers == allowed, library
