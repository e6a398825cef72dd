"""What tests/conftest.py sets up holds: shapes are checked, the network is blocked, warnings are errors, seeds are set."""

import os
import socket
import subprocess
import sys
import warnings

import pytest
import torch
from jaxtyping import TypeCheckError

from labelgen.features.sound import log_mel


def test_wrong_shape_raises_and_names_the_axis():
    with pytest.raises(TypeCheckError, match="samples"):
        log_mel(torch.zeros(3, 4))


def test_shapes_outside_tests_are_not_checked():
    code = "import sys, torch\nfrom labelgen.features.sound import log_mel\nprint('beartype' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("host", ["example.org", "93.184.216.34"])
def test_network_in_tests_is_refused(host: str):
    with pytest.raises(pytest.fail.Exception, match="a test "):
        socket.create_connection((host, 80), timeout=0.1)
    with socket.socket() as one, pytest.raises(pytest.fail.Exception, match="reached for the network"):
        one.connect(("93.184.216.34", 80))


def test_local_sockets_in_tests_connect():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        assert one.getpeername() == server.getsockname()


def test_trackers_and_hubs_in_tests_are_offline():
    assert os.environ["WANDB_MODE"] == "offline"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_warning_in_tests_is_an_error():
    with pytest.raises(UserWarning):
        warnings.warn("unheard", stacklevel=1)


@pytest.mark.parametrize("run", [1, 2])
def test_seeds_before_each_test_are_set(run: int):
    assert torch.rand(1).item() == pytest.approx(0.49625659)
