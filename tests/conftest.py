"""What holds for every test: shapes are checked, seeds are set, and nothing reaches the network."""

import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

# Before anything imports the libraries that read them.
os.environ.update(
    {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }
)

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Shapes and types of every call are checked while tests run, and only then: work pays nothing for it.
install_import_hook(
    ["labelgen.kernels", "labelgen.features", "labelgen.nn", "labelgen.tasks", "labelgen.model"], "beartype.beartype"
)

# The same examples every time and no deadline, so that a slow machine fails no test.
settings.register_profile(
    "labelgen",
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("labelgen")


SLOW = (
    *("evaluation/", "faults/", "kernels/", "labeling/", "model/", "training/"),
    *("cli/test_init_and_run.py", "features/test_pretrained.py", "laws/test_wheel.py"),
)
"""Folders and files that take most of the time, by `pytest --durations=0`; `make test-fast` leaves them out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of SLOW as slow."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        if path.startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unix sockets and this machine itself stay open: processes talk to each other through them."""
    here = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", None)

    def guarded(name: str) -> None:
        real = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in here:
                pytest.fail(f"a test reached for the network: {address[0]}")
            return real(self, address)

        monkeypatch.setattr(socket.socket, name, connect)

    guarded("connect")
    guarded("connect_ex")
    real_lookup = socket.getaddrinfo

    def lookup(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in (*here, socket.gethostname()):
            pytest.fail(f"a test looked up {host}")
        return real_lookup(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a two-layer RoBERTa of width 32 and random weights, and a byte-level tokenizer, as a hub name would
    give them; the same bytes every time."""
    from tiny import write_tiny_encoder

    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def tiny_model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model of all tasks; whoever changes it takes a copy."""
    import torch
    from labeled import LABELS, labeled_dialogue

    from labelgen.model.build import build_model
    from labelgen.model.folder import save_model
    from labelgen.model.options import ModelOptions
    from labelgen.tasks import TASKS, TaskOptions

    torch.manual_seed(0)
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    seen = [labeled_dialogue(seed) for seed in range(8)]
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model(build_model(options, {n: TaskOptions() for n in TASKS}, LABELS, seen).eval(), folder, {})
    return folder
