"""One notebook runs from top to bottom in a new folder, and shows what it is kept with; `make notebooks` runs all."""

import re
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import pytest
from nbformat import NotebookNode

from scripts.execute_notebooks import NOTEBOOKS, VARIES, differences, execute

MOST_BYTES = 150_000
OF_A_MACHINE = re.compile(r"(?<![\w.>])/(tmp|home|root|work|usr|var|Users)/")
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.mark.slow
def test_notebook_runs_and_shows_what_it_is_kept_with() -> None:
    [path] = [path for path in NOTEBOOKS if path.stem == "feedback_to_targets"]
    # A short path: that of the kernel's socket has at most 107 characters.
    with TemporaryDirectory(prefix="notebook-") as folder:
        made = execute(path, Path(folder))
    assert list(differences(read(path), made)) == []


@each
def test_notebook_is_small_valid_and_of_no_machine(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < MOST_BYTES
    assert {tag for cell in notebook.cells for tag in cell.metadata.get("tags", ())} <= {VARIES}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count is not None, "run `make notebooks`"
            assert not OF_A_MACHINE.search(str(cell.outputs))
            assert all(output.get("name") != "stderr" for output in cell.outputs)


@each
def test_notebook_uses_public_names_and_its_links_lead_to_files(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "code" and not cell.source.startswith("%%writefile"):
            assert not re.search(r"(from|import) labelgen\.", cell.source)
        if cell.cell_type == "markdown":
            local = [to for to in re.findall(r"\]\(([^)#\s]+)", cell.source) if "://" not in to]
            assert [to for to in local if not (path.parent / to).exists()] == []


def test_other_output_is_noticed_but_for_cells_that_vary() -> None:
    [path] = [path for path in NOTEBOOKS if path.stem == "calibrate_and_select"]
    kept = read(path)
    assert list(differences(kept, kept)) == []
    for varies in (False, True):
        number = next(
            k
            for k, cell in enumerate(kept.cells)
            if cell.cell_type == "code" and cell.outputs and (VARIES in cell.metadata.get("tags", ())) == varies
        )
        other = deepcopy(kept)
        for output in other.cells[number].outputs:
            output.update({"text": "7"} if output.output_type == "stream" else {"data": {"text/plain": "7"}})
        assert len(list(differences(kept, other))) == (0 if varies else 1)
    last = max(k for k, cell in enumerate(kept.cells) if cell.get("outputs"))
    without = deepcopy(kept)
    without.cells[last].outputs = []
    assert len(list(differences(kept, without))) == 1
