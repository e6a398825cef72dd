"""The documentation site builds without warnings and asks for nothing from the network."""

import re
from pathlib import Path

from labelgen.cli.commands import FIRST_WORDS

PAGES = ("index.html", "changelog.html", "contributing.html", "results.html")


def test_site_builds_strictly_and_has_a_page_for_every_command(site: Path):
    for page in (*PAGES, *(f"reference/commands/{name}.html" for name in FIRST_WORDS)):
        assert (site / page).exists(), page


def test_site_pages_load_nothing_from_another_host(site: Path):
    loading = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(?:https?:)?//|<link\b[^>]*\bhref=\"?(?:https?:)?//"
    )
    for page in site.rglob("*.html"):
        assert not loading.search(page.read_text(encoding="utf-8")), page
