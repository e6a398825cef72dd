"""What a user meets first: the commands and their help, without waiting for torch."""

import re
import subprocess
import sys

import pytest

from labelgen.cli.main import COMMANDS, main

HEAVY = ("torch", "torchaudio", "transformers", "pytorch_lightning", "datasets", "wandb", "pandas", "sklearn", "ray")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_of_every_command_ends_well_and_has_an_example(helps):
    assert set(COMMANDS) <= set(helps.shown)
    for words, (code, text) in helps.shown.items():
        assert code == 0, words
        assert f"usage: labelgen {words}" in text
        if not re.search(r"^ +\{", text, re.M):
            assert "example:" in text, words
            assert f"labelgen {words}" in text.split("example:")[1], words


def test_help_loads_nothing_heavy(helps):
    loaded = {name.split(".")[0] for name in helps.modules}
    assert not loaded & set(HEAVY)


def test_importing_labelgen_loads_nothing_heavy():
    loaded = run("import sys, labelgen; print('\\n'.join(sys.modules))").split()
    assert not {name.split(".")[0] for name in loaded} & {*HEAVY, "numpy", "msgspec", "pyarrow"}


def test_importing_a_command_loads_nothing_heavy():
    modules = [module for module, _ in COMMANDS.values()]
    loaded = run(f"import sys\nfor m in {modules!r}: __import__(m)\nprint('\\n'.join(sys.modules))").split()
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", text, re.M) for name in COMMANDS)
    assert "example: labelgen " in text


def test_an_unknown_command_gets_the_nearest_and_exit_code_2(capsys: pytest.CaptureFixture[str]):
    assert main(["doctr"]) == 2
    assert "did you mean 'doctor'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["doctor", "--no-such-option"], ["encoder"]])
def test_wrong_arguments_are_exit_code_2(words: list[str]):
    assert main(words) == 2
