"""A run whose own files were damaged is exit code 4, with the file's name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labelgen.base.errors import IntegrityError
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import open_run

DAMAGE = {
    "half run.json": ("run.json", lambda text: text[: len(text) // 2]),
    "empty run.json": ("run.json", lambda text: ""),
    "run.json of a list": ("run.json", lambda text: "[]"),
    "run.json of text": ("run.json", lambda text: text.replace('"step":0', '"step":"none"')),
    "deep run.json": ("run.json", lambda text: "[" * 100_000),
    "half config.yaml": ("config.yaml", lambda text: text[: len(text) // 2]),
    "config.yaml cut in a value": ("config.yaml", lambda text: text[: text.index("[")] + "["),
    "empty config.yaml": ("config.yaml", lambda text: ""),
    "config.yaml of a list": ("config.yaml", lambda text: "- 1\n"),
    "config.yaml of code": ("config.yaml", lambda text: "!!python/object/apply:os.system [touch canary]"),
    "config.yaml of numbers": ("config.yaml", lambda text: "1: 2\n"),
    "deep config.yaml": ("config.yaml", lambda text: "[" * 10_000),
}


@pytest.fixture
def begun(options: Callable[..., FinetuneOptions], tmp_path: Path) -> FinetuneOptions:
    """A run with a checkpoint, as far as its folder shows."""
    from labelgen.base.options import to_yaml
    from labelgen.training.checkpoints import CheckpointFolder, CheckpointIndex, SavedCheckpoint
    from labelgen.training.fit import CHECKPOINTS

    asked = options("a")
    folder = Path(asked.out)
    (folder / CHECKPOINTS).mkdir(parents=True)
    CheckpointFolder(folder / CHECKPOINTS).commit(CheckpointIndex(SavedCheckpoint("step-1.ckpt", ""), None, None))
    (folder / "config.yaml").write_text(to_yaml(asked), encoding="utf-8")
    (folder / "run.json").write_text('{"data_digest":"d","step":0,"steps":0,"elapsed_s":0.0,"ended":null}\n')
    return asked


def test_a_run_as_it_was_left_is_opened(begun):
    state = open_run(Path(begun.out), begun)
    assert state is not None
    assert state.data_digest == "d"


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_of_a_run_are_told(begun, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    file, damaged = DAMAGE[name]
    path = Path(begun.out) / file
    path.write_text(damaged(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(IntegrityError, match=file.replace(".", r"\.")) as refused:
        open_run(Path(begun.out), begun)
    assert refused.value.where == str(path)
    assert not (tmp_path / "canary").exists()
