import tempfile
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from labelgen.cli.main import main


def test_a_sound_machine_is_ok(tmp_path: Path, capsys):
    code = main(["doctor", "--out", str(tmp_path / "runs" / "new")])
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[1]: line for line in lines if not line.startswith(" ")}
    assert set(found) == {
        "python",
        "packages",
        "torch",
        "torchaudio",
        "soundfile",
        "encoder",
        "output",
        "tracker",
    }
    assert all(found[name].startswith("ok ") for name in ("python", "packages", "torch", "torchaudio", "soundfile"))
    assert code == (0 if all(line.startswith("ok ") for line in found.values()) else 1)
    assert not (tmp_path / "runs").exists()


def test_what_is_wrong_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("labelgen.cli.doctor.version", missing)
    assert main(["doctor", "--out", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "wrong  packages" in out
    assert "hint: make setup" in out


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def refuse(**where: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert main(["doctor", "--out", str(tmp_path)]) == 1
    assert "cannot be written: Permission denied" in capsys.readouterr().out


def test_the_tracker_that_sends_is_named(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "online")
    main(["doctor"])
    assert "sends its figures away" in capsys.readouterr().out
