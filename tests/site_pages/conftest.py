"""A site of records of every kind, built once, and a browser that notices whatever goes wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deriva_ml.cli import catalog
from git_repository import isolate_git
from site_pages.corpus import Corpus, make

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Frame, Page

DESKTOP, PHONE = (1280, 800), (390, 844)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """A project with records of every kind. Tests read it and leave it as it is."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        isolate_git(patch, folder)
        made = make(folder)
    yield made
    made.catalog.close()


def build(corpus: Corpus, out: Path, *words: str) -> Path:
    """Do what ``deriva-ml-catalog site`` does, in the project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(corpus.root)
        patch.setenv("HOME", str(corpus.root.parent))
        assert catalog.main(["site", "--out", str(out), *words]) == 0
    return out


@pytest.fixture(scope="session")
def site(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of all of them."""
    return build(corpus, tmp_path_factory.mktemp("looked at") / "site")


@pytest.fixture(scope="session")
def in_full(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of two runs, whose notebooks are shown in full."""
    return build(
        corpus, tmp_path_factory.mktemp("looked at closely") / "site", corpus.example, corpus.hostile
    )


EXPECTED = (
    "Blocked script execution",
    "Refused to",
    "violates the following Content Security Policy",
    "sandboxed",
)
"""What the browser says where it keeps something of a hostile record from being done."""


@dataclass
class Visit:
    """A page of a site in a window, and what went wrong in it.

    Attributes:
        address: of the site, on which nothing but the site is asked for.
        refused: what the browser said that it did not let a record do.
    """

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        page.on("console", lambda one: self._said(one.type, one.text, one.location["url"]))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        page.on("popup", lambda one: self.faults.append(f"a window: {one.url}"))
        page.on("request", lambda one: self._asked(one.url))
        page.on("requestfailed", lambda one: self._failed(one.url, one.failure or ""))

    def _said(self, kind: str, text: str, of: str) -> None:
        # A browser asks each server for that icon by itself.
        if kind in {"error", "warning"} and not of.endswith("/favicon.ico"):
            (self.refused if any(one in text for one in EXPECTED) else self.faults).append(f"{kind}: {text}")

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:", "about:")):
            self.faults.append(f"asked for: {url}")

    def _failed(self, url: str, why: str) -> None:
        asked = f"asked for: {url}"
        if why == "csp" and asked in self.faults:  # Chromium tells of what it kept from being asked for
            self.faults.remove(asked)
            self.refused.append(asked)
        elif why != "net::ERR_ABORTED":
            self.faults.append(f"not loaded: {url}: {why}")

    def open(self, name: str) -> Page:
        """Open a page by its address in the site, and wait until it is drawn."""
        # A change of what follows `#` loads nothing: each page is to be seen as it is opened.
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}/{name}")
        return self.drawn()

    def drawn(self) -> Page:
        """Wait until the page has what it loads, and draws."""
        from playwright.sync_api import expect

        # Not wait_for_function: the pages' policy lets nothing be evaluated.
        expect(self.page.locator("#made")).not_to_be_empty()
        expect(self.page.locator("#content > *").first).to_be_attached()
        return self.page

    def check(self) -> None:
        """See that nothing went wrong, and that nothing of a record was run."""
        for frame in self.page.frames:
            self._look_into(frame)
        assert self.faults == []

    def _look_into(self, frame: Frame) -> None:
        done = frame.evaluate(
            "typeof window.pwned !== 'undefined' || document.title === 'pwned' || ({}).pwned"
        )
        if done:
            self.faults.append(f"a script of a record was run in {frame.url}")


Visiting = Callable[..., Visit]


@pytest.fixture
def visiting(chromium: Browser, site: Path) -> Iterator[Visiting]:
    """``visiting(size=DESKTOP, of=site, at="", **options)``: a visit in a window of its own; in the end nothing is wrong in it."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def visit(size: tuple[int, int] = DESKTOP, of: Path = site, at: str = "", **options: Any) -> Visit:
        width, height = size
        still: Any = {"reduced_motion": "reduce", "viewport": {"width": width, "height": height}}
        contexts.append(chromium.new_context(**still, **options))
        visits.append(Visit(contexts[-1].new_page(), at or of.as_uri()))
        return visits[-1]

    yield visit
    try:
        for one in visits:
            one.check()
    finally:
        for context in contexts:
            context.close()
