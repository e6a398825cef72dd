"""Execute the notebooks of notebooks/ from top to bottom, and write their outputs into them: `make notebooks`.

Each runs in a folder of its own that is deleted afterwards, on one thread, without network, with labelgen from this checkout. A cell
whose output is not the same on every machine, such as one with numbers of a trained model, has the tag `varies`. Standard error is not
kept: it has the progress of commands, and warnings of libraries.

    python scripts/execute_notebooks.py [NOTEBOOK...]
"""

import os
import resource
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
VARIES = "varies"
_CELL_S = 600
_FORMS = ("text/plain", "text/html", "image/png")


def execute(path: Path, folder: Path) -> NotebookNode:
    """The notebook with the outputs of a new kernel. folder: where it runs, and where its kernel keeps its files.

    Raises nbclient's CellExecutionError for a cell that fails."""
    notebook = nbformat.read(path, as_version=4)
    work = folder / "work"
    work.mkdir()
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=str(folder / "kernel.json"))
    client = NotebookClient(
        notebook,
        km=kernel,
        timeout=_CELL_S,
        record_timing=False,
        resources={"metadata": {"path": str(work)}},
    )
    client.execute(env=_environment(folder), cleanup_kc=True)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = list(_kept(cell.outputs))
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def _kept(outputs: Iterable[NotebookNode]) -> Iterator[NotebookNode]:
    """The outputs without standard error. What a cell printed piece by piece is one output."""
    before = None
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if before is not None and output.output_type == before.output_type == "stream":
            before.text += output.text
            continue
        before = output
        yield output


def _environment(folder: Path) -> dict[str, str]:
    paths = (str(ROOT), os.environ.get("PYTHONPATH", ""))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLORTERM", "NO_COLOR")}
    return {
        **kept,
        "COLUMNS": "100",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "offline",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def differences(kept: NotebookNode, made: NotebookNode) -> Iterator[str]:
    """A line for each code cell whose output differs; of cells that vary, only the number of results is compared."""
    for number, (before, after) in enumerate(zip(kept.cells, made.cells, strict=True)):
        if before.cell_type != "code":
            continue
        seen, now = _shown(before), _shown(after)
        if VARIES in before.metadata.get("tags", ()):
            seen, now = _results(seen), _results(now)
        if seen != now:
            yield f"cell {number} shows {now}, and is kept with {seen}"


def _results(shown: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(kind, None) for kind, _ in shown if kind != "stream"]


def _shown(cell: NotebookNode) -> list[tuple[str, Any]]:
    return [
        (one.output_type, one.get("text") or {form: one.data[form] for form in _FORMS if form in one.get("data", {})})
        for one in cell.outputs
    ]


def main() -> None:
    """Execute the notebooks that are named, or all of them."""
    for path in [Path(name) for name in sys.argv[1:]] or NOTEBOOKS:
        with TemporaryDirectory(prefix="labelgen-notebook-") as folder:
            nbformat.write(execute(path, Path(folder)), path)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{path.name}: {path.stat().st_size / 1000:,.0f} kB, {used.ru_utime + used.ru_stime:,.0f} s of CPU so far"
        )


if __name__ == "__main__":
    main()
