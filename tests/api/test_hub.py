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


def test_pushed_model_loads_by_name_and_has_the_same_digest(hub, run, tiny_model):
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


def test_push_removes_files_of_an_older_model_and_can_keep_the_card_of_the_hub(hub, run, tiny_model):
    put(hub, tiny_model, **{"calibration.json": b"{}", "README.md": b"edited"})
    done = run(f"Annotator({str(tiny_model)!r}).push_to_hub({REPOSITORY!r}, card=False)")
    assert done.returncode == 0, done.stderr
    assert "calibration.json" not in hub.files(REPOSITORY)
    assert hub.files(REPOSITORY)["README.md"] == b"edited"


def test_edited_card_changes_no_digest_and_digest_and_revision_pin(hub, run, tiny_model):
    before = put(hub, tiny_model)
    put(hub, tiny_model, **{"README.md": b"\xff edited", ".gitattributes": b"edited"})
    digest = model_digest(tiny_model)
    done = run(
        f"for revision in (None, {before!r}):\n a = Annotator.from_pretrained({REPOSITORY!r}, revision=revision, digest={digest!r}); {PRINT}\n"
        f"Annotator.from_pretrained({REPOSITORY!r}, digest='0' * 64)"
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [digest] * 2, done.stderr
    assert lines[0] != lines[1]
    assert done.stderr.count(f"the model has the digest {digest}, not {'0' * 64}") == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"config.json": b"{}"}, "config.json of the model is not the file that was saved"),
        ({"pytorch_model.pkl": b"x"}, "holds pytorch_model.pkl, which digests.json does not name"),
    ],
)
def test_changed_or_added_file_on_the_hub_is_refused(hub, run, tiny_model, change, error):
    put(hub, tiny_model, **change)
    done = run(f"Annotator.from_pretrained({REPOSITORY!r})")
    assert error in done.stderr


def test_unknown_repository_or_revision_is_refused_with_a_hint(hub, run, tiny_model):
    put(hub, tiny_model)
    done = run(
        "from labelgen.base.errors import UsageError\n"
        f"for name, revision in (('someone/else', None), ({REPOSITORY!r}, 'nowhere')):\n"
        " try: Annotator.from_pretrained(name, revision=revision)\n"
        " except UsageError as error: print(error.what)"
    )
    assert done.stdout.count("the hub has no such repository") == 2, done.stderr
