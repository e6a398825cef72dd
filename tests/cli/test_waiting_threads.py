"""Threads that wait leave the cores to others: OpenMP itself tells its policy when torch loads it."""

import os
import subprocess
import sys

import pytest

COMMAND = "from labelgen.cli.main import main; main(['data', 'formats']); import torch; torch.ones(2)"


@pytest.mark.parametrize(("set_by_user", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
@pytest.mark.skipif(sys.platform != "linux", reason="torch has another OpenMP on other systems")
def test_threads_of_a_command_sleep_while_they_wait_unless_the_user_says_otherwise(set_by_user, expected):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    if set_by_user:
        environment["OMP_WAIT_POLICY"] = set_by_user
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND],
        env=environment | {"OMP_DISPLAY_ENV": "TRUE"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"OMP_WAIT_POLICY = '{expected}'" in ended.stderr
