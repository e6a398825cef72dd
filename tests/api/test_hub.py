"""Models on a hub: pushed to and loaded from a hub on this machine, which HF_ENDPOINT names, in a process of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stub_hub import StubHub, stub_hub

from labelgen.model.folder import model_digest

Run = Callable[[str], subprocess.CompletedProcess[str]]
REPOSITORY = "someone/labels"
LOAD = "from labelgen import Annotator; import sys\n"
PRINT = "print(a.provenance.model_digest, a.folder)"


@pytest.fixture
def hub() -> Iterator[StubHub]:
    with stub_hub() as one:
        yield one


@pytest.fixture
def run(hub, tmp_path) -> Run:
    """Runs Python code with this hub and an empty cache."""
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_stub"}
    # Xet stores files elsewhere; without it large ones go by LFS.
    environment = {**os.environ, **own, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*"}

    def call(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", LOAD + code],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=tmp_path,
        )

    return call


def put(hub: StubHub, model: Path, **files: bytes) -> str:
    """A repository with a model folder's files and others; returns the commit."""
    hub.branches.setdefault(REPOSITORY, {})
    content = {p.relative_to(model).as_posix(): p.read_bytes() for p in model.rglob("*") if p.is_file()}
    return hub.commit(REPOSITORY, "main", {**content, ".gitattributes": b"", **files})


TRY = """
from labelgen import LabelgenError
def attempt(*words, **more):
    try: return Annotator.from_pretrained(*words, **more)
    except LabelgenError as error: print(error.what)
"""


def test_pushed_model_loads_by_name_and_has_the_same_digest(hub, run, tiny_model):
    """A second push removes files of an older model, and can keep the card of the hub."""
    done = run(
        f"a = Annotator({str(tiny_model)!r}); print(a.push_to_hub({REPOSITORY!r}))\na = Annotator.from_pretrained({REPOSITORY!r}); {PRINT}"
    )
    assert done.returncode == 0, done.stderr
    commit, loaded = done.stdout.splitlines()[-2:]
    assert commit == f"{hub.url}/{REPOSITORY}/commit/{hub.branches[REPOSITORY]['main']}"
    assert loaded.split()[0] == model_digest(tiny_model)
    files = {p.relative_to(tiny_model).as_posix(): p.read_bytes() for p in tiny_model.rglob("*") if p.is_file()}
    assert hub.files(REPOSITORY) == {**files, ".gitattributes": hub.files(REPOSITORY)[".gitattributes"]}
    assert any(request.startswith("PUT /lfs/") for request in hub.requests)
    put(hub, tiny_model, **{"calibration.json": b"{}", "README.md": b"edited"})
    done = run(f"Annotator({str(tiny_model)!r}).push_to_hub({REPOSITORY!r}, card=False)")
    assert done.returncode == 0, done.stderr
    assert "calibration.json" not in hub.files(REPOSITORY)
    assert hub.files(REPOSITORY)["README.md"] == b"edited"


def test_edited_card_changes_no_digest_and_what_is_another_model_or_none_is_refused(hub, run, tiny_model):
    before = put(hub, tiny_model)
    put(hub, tiny_model, **{"README.md": b"\xff edited", ".gitattributes": b"edited"})
    changed = [put(hub, tiny_model, **{name: b"{}"}) for name in ("config.json", "pytorch_model.pkl")]
    hub.branches[REPOSITORY]["main"] = list(hub.commits)[1]
    digest = model_digest(tiny_model)
    done = run(
        f"{TRY}for revision in (None, {before!r}):\n a = attempt({REPOSITORY!r}, revision=revision, digest={digest!r}); {PRINT}\n"
        f"attempt({REPOSITORY!r}, digest='0' * 64)\n"
        f"for revision in (*{changed!r}, 'nowhere'): attempt({REPOSITORY!r}, revision=revision)\n"
        "attempt('someone/else')"
    )
    one, other, pinned, *refused, nowhere, unknown = done.stdout.splitlines()
    assert [line.split()[0] for line in (one, other)] == [digest] * 2, done.stderr
    assert one != other
    assert f"the model has the digest {digest}, not {'0' * 64}" in pinned
    assert "config.json of the model is not the file that was saved" in refused[0]
    assert "holds pytorch_model.pkl, which digests.json does not name" in refused[1]
    assert "the hub has no such repository" in nowhere
    assert "the hub has no such repository" in unknown
