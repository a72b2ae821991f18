"""The index names every page, links lead somewhere, and decisions are numbered once."""

from __future__ import annotations

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
REPOSITORY = Path(__file__).parents[3]


def links(page: Path) -> list[Path]:
    found = LINK.findall(page.read_text(encoding="utf-8"))
    return [(page.parent / link).resolve() for link in found if "://" not in link]


def test_every_link_leads_to_a_file(docs: Path) -> None:
    pages = [*docs.rglob("*.md"), REPOSITORY / "README.md"]
    dead = [f"{page.name}: {link}" for page in pages for link in links(page) if not link.exists()]
    assert dead == []


def test_the_index_names_every_page_once(docs: Path) -> None:
    pages = sorted(page for folder in docs.iterdir() if folder.is_dir() for page in folder.glob("*.*"))
    assert sorted(links(docs / "README.md")) == [page.resolve() for page in pages]


def test_decisions_are_numbered_without_gaps_and_alike(docs: Path) -> None:
    pages = sorted((docs / "adr").glob("*.md"))
    for number, page in enumerate(pages, start=1):
        text = page.read_text(encoding="utf-8")
        assert page.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        assert "Status: accepted." in text
        assert len(text.splitlines()) <= 60, "one page each"
