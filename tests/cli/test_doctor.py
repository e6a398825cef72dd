from importlib.metadata import PackageNotFoundError

import pytest

from labelgen.cli.main import main


def test_a_sound_machine_is_ok(capsys):
    code = main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[1]: line for line in lines if not line.startswith(" ")}
    assert set(found) == {
        "python",
        "packages",
        "torch",
        "torchaudio",
        "soundfile",
        "encoder",
        "tracker",
    }
    assert all(found[name].startswith("ok ") for name in ("python", "packages", "torch", "torchaudio", "soundfile"))
    assert code == (0 if all(line.startswith("ok ") for line in found.values()) else 1)


def test_what_is_wrong_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys):
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("labelgen.cli.doctor.version", missing)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "wrong  packages" in out
    assert "hint: make setup" in out


def test_the_tracker_that_sends_is_named(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "online")
    main(["doctor"])
    assert "sends its figures away" in capsys.readouterr().out
