"""MkDocs hooks: pages generated from the real help of every command, and the project's root pages within the site."""

import contextlib
import html
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {"RESULTS.md": "results.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Page of the repository -> page of the site."""

Help = dict[str, tuple[int, str]]
"""Words of a command -> (exit code, help text)."""


def command_help() -> Help:
    """Run `--help` of every command and subcommand, 80 columns wide."""
    from labelgen.cli.commands import COMMANDS, GROUPS
    from labelgen.cli.main import main

    os.environ["COLUMNS"] = "80"
    shown: Help = {}

    def show(words: list[str]) -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = main([*words, "--help"])
        shown[" ".join(words)] = (code, out.getvalue())

    show([])
    for command in (*GROUPS, *COMMANDS):
        show(command.split())
    return shown


def command_pages() -> Iterator[tuple[str, str]]:
    """Paths and texts of the generated pages: an index and a page for each command."""
    from labelgen.cli.commands import FIRST_WORDS

    shown = command_help()
    rows = [f"| [`labelgen {name}`]({name}.md) | {summary} |" for name, summary in FIRST_WORDS.items()]
    table = "\n".join(["| command | what it does |", "| --- | --- |", *rows])
    note = "These pages are generated from the help of the commands.\n\n"
    overview = _block(shown[""][1])
    yield "reference/commands/index.md", f"# Commands\n\n{note}{table}\n\n{overview}"
    for name in FIRST_WORDS:
        sections = [f"# labelgen {name}\n\n{_block(shown[name][1])}"]
        for words, (_, text) in shown.items():
            if words.startswith(f"{name} "):
                sections.append(f"## labelgen {words}\n\n{_block(text)}")
        yield f"reference/commands/{name}.md", "\n".join(sections)


def notebook_pages() -> Iterator[tuple[str, str]]:
    """Paths and texts of the notebooks as pages, with their outputs."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        parts = []
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                parts.append(re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", source.replace("](../docs/", "](../")))
            else:
                parts += [f"```python\n{source}\n```", *map(_output, cell["outputs"])]
        yield f"notebooks/{path.stem}.md", "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    """An output of a notebook's cell as HTML."""
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="output">{"".join(data["text/html"])}</div>'
    text = "".join(output.get("text") or data.get("text/plain", ""))
    return f'<div class="output"><pre>{html.escape(text)}</pre></div>'


def _block(text: str) -> str:
    """A help text as a code block."""
    return f"```text\n{text.strip()}\n```\n"


def on_config(config: Any) -> Any:
    """Fill the sections of the navigation whose pages are generated: commands and results."""
    sys.path.insert(0, str(ROOT))

    from labelgen.cli.commands import FIRST_WORDS

    commands = [f"reference/commands/{name}.md" for name in ("index", *FIRST_WORDS)]
    pages = [str(page.relative_to(ROOT / "docs")) for page in sorted((ROOT / "docs" / "results").glob("**/*.md"))]
    for entry in config["nav"]:
        if "Reference" in entry:
            entry["Reference"].append({"Commands": commands})
        if "Notebooks" in entry:
            entry["Notebooks"] += [path for path, _ in notebook_pages()]
        if "Results" in entry:
            entry["Results"] = [ROOT_PAGES["RESULTS.md"], *pages]
        if "Project" in entry:
            entry["Project"] = [ROOT_PAGES["CONTRIBUTING.md"], ROOT_PAGES["CHANGELOG.md"]]
    return config


def on_files(files: Any, *, config: Any) -> Any:
    from mkdocs.structure.files import File

    for path, text in (*command_pages(), *notebook_pages()):
        files.append(File.generated(config, path, content=text))
    for source, target in ROOT_PAGES.items():
        if (ROOT / source).exists():
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, target, content=_from_root(text)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Turn links to pages at the root of the repository into links to their copies in the site."""
    depth = page.file.src_uri.count("/")
    for source, target in ROOT_PAGES.items():
        markdown = markdown.replace(f"]({'../' * (depth + 1)}{source}", f"]({'../' * depth}{target}")
    return re.sub(r"\]\((?:\.\./)+(notebooks/\w+)\.ipynb\)", rf"]({'../' * depth}\1.md)", markdown)


def _from_root(text: str) -> str:
    """The text of a root page with its links as seen from docs/; links to code become plain code."""
    for source, target in ROOT_PAGES.items():
        text = text.replace(f"]({source}", f"]({target}")
    text = re.sub(r"\]\(docs/", "](", text)
    return re.sub(
        r"\[([^\]]+)\]\(((?:labelgen|tests|benchmarks|scripts|notebooks|results)/[^)]*)\)", r"\1 (`\2`)", text
    )


if __name__ == "__main__":
    print(json.dumps({"shown": command_help(), "modules": sorted(sys.modules)}))
