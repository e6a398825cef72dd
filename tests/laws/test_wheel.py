"""The wheel alone is enough: it has every file of the package, and runs from a log to labels where the source is not."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = """
model: {dialogue_width: 32, dialogue_layers: 1, dialogue_heads: 2}
length: {steps: 2}
hardware: {precision: "32"}
tracking: {wandb: "off"}
"""
ANNOTATE = """
import labelgen
print(labelgen.__file__)
annotator = labelgen.Annotator.from_pretrained("p/results/training/model")
annotator.save_pretrained("saved")
loaded = labelgen.Annotator.from_pretrained("saved")
dialogue = {"id": "d", "turns": [{"request": "play jazz", "response": "Playing jazz."}]}
assert loaded.annotate([dialogue]) == annotator.annotate([dialogue])
print(len(loaded.annotate([dialogue])[0]["annotations"]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy of the source, so that a file of an earlier build does not slip in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "labelgen", source / "labelgen", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(source))
    (built,) = folder.glob("labelgen-*.whl")
    return built


def _pip(*words: str) -> None:
    _run([sys.executable, "-m", "pip", "--disable-pip-version-check", *words], Path.cwd())


def _run(words: list[str], folder: Path) -> str:
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=folder, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel. Its other packages are those of this environment, which a line of a .pth file
    adds; lines of .pth files there, such as that of an editable install, do not count."""
    folder = tmp_path_factory.mktemp("environment")
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder)
    python = folder / "bin" / "python"
    packages = Path(_run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip())
    _pip("--python", str(python), "install", "--no-deps", "--no-index", "--no-compile", str(wheel))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def test_wheel_has_every_file_of_the_package(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("labelgen/")}
    source = (ROOT / "labelgen").rglob("*")
    assert packed == {
        path.relative_to(ROOT).as_posix() for path in source if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_runs_from_a_log_to_labels_and_loads_a_saved_model(environment: Path, tiny_encoder: Path, tmp_path: Path):
    labelgen = str(environment / "labelgen")
    _run([labelgen, "init", "--sample", "--out", "p"], tmp_path)
    config = tmp_path / "p" / "run.yaml"
    config.write_text(f"{config.read_text()}encoder: {tiny_encoder}\n")
    (tmp_path / "p" / "training.yaml").write_text(SMALL)
    assert "report: p/results/evaluation/report.html" in _run([labelgen, "run", "p/run.yaml"], tmp_path)
    shown = _run([str(environment / "python"), "-c", ANNOTATE], tmp_path).splitlines()
    assert Path(shown[0]).is_relative_to(environment.parent)
    assert shown[1] == "1"
