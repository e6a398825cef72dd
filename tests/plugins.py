"""Install a toy plug-in the way pip leaves one: its module, and a .dist-info folder with entry points, on sys.path."""

import shutil
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def install(
    monkeypatch: pytest.MonkeyPatch, folder: Path, group: str, name: str, value: str, distribution: str = "toy"
) -> None:
    """Install a distribution into a folder until the test ends.

    value: the entry point, `module` or `module:object`; a module of that name in tests/ is copied."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    source = TESTS / f"{value.partition(':')[0]}.py"
    if source.exists():
        shutil.copy(source, folder)
    monkeypatch.syspath_prepend(str(folder))
