"""What can be wrong with a built site, found in its files; each check returns the faults, one text each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from bs4 import BeautifulSoup

BASE = "http://site.example/"
LOADED = {"src", "poster", "data"}
"""Attributes whose address a browser fetches by itself."""
CANDIDATE = re.compile(r"([^\s,](?:\S*[^\s,])?)(?:\s+[^,]+)?\s*(?:,|$)")
"""An address in a `srcset`, with its size; it may hold commas, but not end in one."""


def pages(site: Path) -> list[Path]:
    """The pages that a reader can get to."""
    return sorted(site.rglob("index.html"))


@cache
def parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def address(site: Path, page: Path) -> str:
    """Where a page is served."""
    return urljoin(BASE, page.relative_to(site).as_posix().removesuffix("index.html"))


def references(page: Path) -> Iterator[tuple[str, str]]:
    """Each address in a page, with how it is used: ``link`` to be followed, or ``load`` as part of the page."""
    for element in parsed(page).find_all(True):
        for name, value in element.attrs.items():
            if name == "href":
                followed = element.name in {"a", "area"} or "canonical" in element.get_attribute_list("rel")
                yield "link" if followed else "load", str(value)
            elif name == "srcset":
                yield from (("load", candidate) for candidate in CANDIDATE.findall(str(value)))
            elif name in LOADED:
                yield "load", str(value).strip()


def broken_references(site: Path) -> list[str]:
    """Links to pages, places in pages and files, and files of the pages themselves, that are not there."""
    faults = []
    for page in [*pages(site), *site.glob("404.html")]:
        for _, reference in references(page):
            target, fragment = urldefrag(urljoin(address(site, page), reference))
            if not target.startswith(BASE):
                continue
            file = site / unquote(urlsplit(target).path).lstrip("/")
            file = file / "index.html" if target.endswith("/") else file
            if not file.is_file():
                faults.append(f"{page.relative_to(site)}: {reference} is not there")
            elif fragment and not parsed(file).find(id=unquote(fragment)):
                faults.append(f"{page.relative_to(site)}: {reference} names a place that is not there")
    return faults


def foreign_loads(site: Path) -> list[str]:
    """What a browser would fetch from another host to show a page or apply a style sheet."""
    faults = []
    for page in site.rglob("*.html"):
        for use, reference in references(page):
            target = urljoin(BASE, reference)
            if use == "load" and not target.startswith((BASE, "data:")):
                faults.append(f"{page.relative_to(site)}: {reference}")
    for sheet in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        fetched = re.findall(
            r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", sheet.read_text(encoding="utf-8")
        )
        faults += [f"{sheet.relative_to(site)}: {reference}" for reference in fetched]
    return faults


def poor_pictures(site: Path) -> list[str]:
    """Pictures of which someone who does not see them learns too little."""
    return [
        f"{page.relative_to(site)}: {picture.get('src')}: {picture.get('alt')!r}"
        for page in pages(site)
        for picture in parsed(page).select("article img")
        if len(str(picture.get("alt") or "").split()) < 8
    ]


def untitled_pages(site: Path) -> list[str]:
    """Pages without a title of their own, or without exactly one heading of the first level."""
    faults, titles = [], set()
    for page in pages(site):
        element = parsed(page).title
        title = element.get_text(strip=True) if element else ""
        headings = len(parsed(page).find_all("h1"))
        if not title or title in titles:
            faults.append(f"{page.relative_to(site)}: the title {title!r} is empty or another page's")
        if headings != 1:
            faults.append(f"{page.relative_to(site)}: {headings} headings of the first level")
        titles.add(title)
    return faults


def unread_markdown(site: Path) -> list[str]:
    """Paragraphs in which a list, a table, a heading or a block of code stayed as it was typed."""
    typed = re.compile(r"^(?:[-*] |1\. |\||#+ |```).*", re.MULTILINE)
    return [
        f"{page.relative_to(site)}: {found[0]}"
        for page in pages(site)
        for paragraph in parsed(page).select("article p")
        if (found := typed.search(paragraph.get_text()))
    ]


def navigation(site: Path) -> list[str]:
    """The addresses in the home page's navigation, from the site's root."""
    home = site / "index.html"
    links = parsed(home).select("nav.md-nav--primary a.md-nav__link[href]")
    found = (urldefrag(urljoin(BASE, str(link["href"])))[0].removeprefix(BASE) for link in links)
    return list(dict.fromkeys(found))


def search_index(site: Path) -> dict[str, str]:
    """What the search knows of each page, by the page's address from the site's root."""
    found: dict[str, str] = {}
    for item in json.loads((site / "search.json").read_text(encoding="utf-8"))["items"]:
        page = item["location"].partition("#")[0]
        found[page] = f"{found.get(page, '')} {item['title']} {item['text']}"
    return found
