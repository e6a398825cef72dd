"""Threads that wait leave the cores to others: OpenMP itself tells its policy when torch loads it."""

import os
import subprocess
import sys

import pytest

from labelgen.cli.main import main

COMMAND = "from labelgen.cli.main import main; main(['data', 'formats']); import torch; torch.ones(2)"


@pytest.mark.skipif(sys.platform != "linux", reason="torch has another OpenMP on other systems")
def test_threads_of_a_command_sleep_while_they_wait_unless_the_user_says_otherwise(monkeypatch):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND],
        env=environment | {"OMP_DISPLAY_ENV": "TRUE"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in ended.stderr
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert main(["--version"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
