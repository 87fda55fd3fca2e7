"""The documentation site: it builds, nothing in it is broken or fetched from elsewhere, and it can be read anywhere."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import site_checks
from conftest import ROOT
from gather_docs import ELSEWHERE, gather

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


def build(root: Path) -> subprocess.CompletedProcess[str]:
    """Do what `make docs` does, in a copy of the repository's pages."""
    gather(root, root / "build" / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the site is built from."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "docs", folder / "docs")
    for name in ("zensical.toml", *ELSEWHERE):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def site(sources: Path) -> Path:
    """The site, built strictly."""
    built = build(sources)
    assert built.returncode == 0, built.stdout + built.stderr
    return sources / "site"


# ------------------------------------------------------------------------------------------------------- building
def test_every_page_is_in_the_navigation(site: Path) -> None:
    """Whatever lies in ``docs/`` can be found from every page, once, and the navigation names nothing else."""
    docs = ROOT / "docs"
    written = {path.relative_to(docs).with_suffix("").as_posix() for path in docs.rglob("*.md")}
    written = {page.removesuffix("/index") for page in written} | {"changelog", "benchmarks"}
    named = [entry.rstrip("/") or "index" for entry in site_checks.navigation(site)]
    assert sorted(named) == sorted(written)


@pytest.fixture
def longer(sources: Path, tmp_path: Path) -> Callable[[str], Path]:
    """``longer(text)``: a private copy of the sources, with a text added to a page."""

    def copy(text: str) -> Path:
        made = shutil.ignore_patterns("site", "build", ".cache")
        folder = shutil.copytree(sources, tmp_path / "repository", ignore=made)
        with (folder / "docs" / "notebooks.md").open("a", encoding="utf-8") as page:
            page.write(f"\n{text}\n")
        return folder

    return copy


@pytest.mark.parametrize("link", ["quick-start.md#no-such-heading", "../CHANGELOG.md#no-such-version"])
def test_a_link_to_nowhere_fails_the_build(longer: Callable[[str], Path], link: str) -> None:
    """A link to a heading that is not there stops the build, which says where it stands."""
    built = build(longer(f"See [this]({link})."))
    assert built.returncode != 0
    assert "notebooks.md" in built.stdout + built.stderr and "does not exist" in built.stdout + built.stderr


@pytest.mark.parametrize("link", ["no-such-page.md", "../LICENSE"])
def test_a_link_off_the_site_is_refused(longer: Callable[[str], Path], link: str) -> None:
    """So does a link to a file that is not on the site, be it in the repository or nowhere."""
    with pytest.raises(SystemExit, match=re.escape(f"notebooks.md links to {link}")):
        build(longer(f"See [this]({link})."))


def test_what_only_looks_like_a_link_stays(longer: Callable[[str], Path]) -> None:
    """In a block of code, what would be a link to nowhere is text; addresses on the web stay as they are."""
    built = build(
        longer("```text\nSee [this](no-such-page.md).\n```\n\n[there](https://www.example.org/a.md)")
    )
    assert built.returncode == 0, built.stdout + built.stderr


def test_an_item_keeps_its_number(longer: Callable[[str], Path]) -> None:
    """A list that goes on after a block of code goes on counting, as on GitHub."""
    folder = longer("1. First\n\n```bash\nls\n```\n\n2. Second")
    assert build(folder).returncode == 0
    lists = site_checks.parsed(folder / "site" / "notebooks" / "index.html").select("article ol")
    assert [one.get("start") for one in lists][-2:] == [None, "2"]


# ---------------------------------------------------------------------------------------------------- its files
def test_links_and_pictures_are_there(site: Path) -> None:
    """Every link, anchor, picture, script and style sheet in the built pages is there."""
    assert site_checks.broken_references(site) == []


def test_nothing_comes_from_another_host(site: Path) -> None:
    """No page or style sheet has fonts, scripts, styles or pictures fetched from elsewhere."""
    assert site_checks.foreign_loads(site) == []


def test_pictures_are_described(site: Path) -> None:
    """Each picture has a text that says what is to be seen, and there are pictures."""
    assert site_checks.poor_pictures(site) == []
    assert sum(len(site_checks.parsed(page).select("article img")) for page in site_checks.pages(site)) >= 5


def test_pages_have_titles(site: Path) -> None:
    """Each page has a title that no other has, and one heading of the first level."""
    assert site_checks.untitled_pages(site) == []


def test_pages_are_read_as_they_are_meant(site: Path) -> None:
    """What is a list, a table or a block of code on GitHub is one here."""
    assert site_checks.unread_markdown(site) == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("bump-version patch", "notebooks/"),
        ("deriva-ml-upload --list", "deriva-catalog/"),
        ("Pending_Upload", "architecture/"),
        ("multirun", "configuration/"),
        ("Keep a Changelog", "changelog/"),
    ],
)
def test_the_search_knows_every_page(site: Path, words: str, page: str) -> None:
    """The index has a text for each page of the navigation, and words of a page are found there."""
    index = site_checks.search_index(site)
    assert set(index) == set(site_checks.navigation(site))
    assert words in re.sub(r"</?\w+>", "", index[page])


BROKEN = """<html><head><title></title><link rel="stylesheet" href="https://fonts.example/a.css"></head><body><article>
<h1 id="one">One</h1><h1>Two</h1><a href="gone/">gone</a><a href="#two">two</a><a href="#one">one</a>
<a href="https://elsewhere.example/">elsewhere</a><img src="missing.png" alt="A picture">
<img srcset="data:image/png;base64,AAAA, small.png 1x, //pictures.example/large.png 2x" alt="Another">
<script src="//scripts.example/a.js"></script><p>As follows:
- one</p></article></body></html>"""


def test_a_fault_in_the_files_is_found(tmp_path: Path) -> None:
    """Each of the checks above sees what it is for in a page that has every fault."""
    (tmp_path / "index.html").write_text(BROKEN)
    (tmp_path / "a.css").write_text(
        '@import "https://fonts.example/b.css"; a { background: url(//x.example/c) }'
    )
    assert [fault.split(": ")[1] for fault in site_checks.broken_references(tmp_path)] == [
        "gone/ is not there",
        "#two names a place that is not there",
        "missing.png is not there",
        "small.png is not there",
    ]
    assert sorted(fault.split(": ", 1)[1] for fault in site_checks.foreign_loads(tmp_path)) == [
        "//pictures.example/large.png",
        "//scripts.example/a.js",
        "//x.example/c",
        "https://fonts.example/a.css",
        "https://fonts.example/b.css",
    ]
    assert len(site_checks.poor_pictures(tmp_path)) == 2
    assert len(site_checks.untitled_pages(tmp_path)) == 2
    assert site_checks.unread_markdown(tmp_path) == ["index.html: - one"]


# ------------------------------------------------------------------------------------------------- in a browser
class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder's files are served while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def home(site: Path) -> Iterator[str]:
    """The address of the site's home page."""
    with served(site) as url:
        yield url


Opened = Callable[..., "Page"]


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Opened]:
    """``opened(size, scheme="light")``: an empty page of a window of that size, closed in the end."""
    contexts = []

    def page(size: str, scheme: Any = "light") -> Page:
        width, height = SIZES[size]
        contexts.append(
            chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        )
        return contexts[-1].new_page()

    yield page
    for context in contexts:
        context.close()


def faults(page: Page, base: str, names: list[str]) -> list[str]:
    """What goes wrong as pages are opened one after the other, and what does not fit or does not load in them.

    Each page is opened once, and then seen in a window of each size.
    """
    found: list[str] = []
    name = ""

    def note(wrong: bool, what: str) -> None:
        if wrong:
            found.append(f"{name}: {what}")

    page.on("console", lambda message: note(message.type == "error", message.text))
    page.on("pageerror", lambda error: note(True, str(error)))
    # A request that is given up because the next page is opened has not failed.
    page.on("requestfailed", lambda one: note(one.failure != "net::ERR_ABORTED", f"failed: {one.url}"))
    page.on(
        "request", lambda one: note(not one.url.startswith((base, "data:", "blob:")), f"foreign: {one.url}")
    )
    for name in names:
        page.goto(base + name)
        page.evaluate("Promise.all([...document.images].map(image => image.decode().catch(() => 0)))")
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            over = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            note(over > 0, f"{over} pixels too wide on a {size}")
        for source in page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)"):
            note(True, f"not shown: {source}")
    return found


def test_every_page_can_be_read(site: Path, home: str, opened: Opened) -> None:
    """On a desktop and on a telephone: no page fails, is too wide, or lacks a picture."""
    assert faults(opened("desktop"), home, site_checks.navigation(site)) == []


def test_a_fault_in_the_browser_is_found(tmp_path: Path, opened: Opened) -> None:
    """Each of those faults is seen in a page that has it."""
    (tmp_path / "index.html").write_text(
        '<link rel="icon" href="data:,"><img src="missing.png"><div style="width: 800px">wide</div>'
        '<script src="http://127.0.0.1:9/foreign.js"></script><script>nothing()</script>'
    )
    with served(tmp_path) as url:
        found = "\n".join(faults(opened("desktop"), url, [""]))
    assert "too wide on a desktop" not in found
    for fault in (
        "404",
        "pixels too wide on a phone",
        "not shown: ",
        "foreign: ",
        "failed: ",
        "nothing is not defined",
    ):
        assert fault in found


@pytest.mark.parametrize("size", SIZES)
def test_the_search_leads_to_a_page(home: str, opened: Opened, size: str) -> None:
    """Typing a command's name into the search offers its section, and choosing that goes there."""
    page = opened(size)
    page.goto(home)
    if size == "desktop":
        page.get_by_role("button", name="Search").click()
    else:
        page.locator("label[for=__search]").click()
    page.get_by_role("combobox", name="Search").fill("bump-version")
    page.get_by_role("option").first.click()
    page.wait_for_url("**/cli-reference/**#bump-version")
    assert page.locator("#bump-version").is_visible()


def test_light_and_dark_can_be_chosen(home: str, opened: Opened) -> None:
    """The scheme is the reader's own until the toggle changes it; pictures follow, and it stays on other pages."""
    page = opened("desktop", "light")
    page.goto(home + "architecture/")
    scheme = "getComputedStyle(document.body).colorScheme"
    light = page.locator("article img").first.screenshot()
    assert page.evaluate(scheme) == "light"
    page.get_by_title("Switch to dark mode").click()
    assert page.evaluate(scheme) == "dark"
    assert page.locator("article img").first.screenshot() != light
    page.goto(home)
    assert page.evaluate(scheme) == "dark"
    other = opened("desktop", "dark")
    other.goto(home)
    assert other.evaluate(scheme) == "dark"


OVERLAPS = """() => {
  const texts = [...document.querySelectorAll('text')], size = document.documentElement.viewBox.baseVal
  const boxes = texts.map(text => text.getBBox())
  const outside = boxes.map(b => b.x < 0 || b.y < 0 || b.x + b.width > size.width || b.y + b.height > size.height)
  const over = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y + 4 < b.y + b.height && b.y + 4 < a.y + a.height
  return texts.filter((text, i) => outside[i] || boxes.some((box, j) => j < i && over(box, boxes[i])))
    .map(text => text.textContent)
}"""


@pytest.mark.parametrize("drawing", sorted(path.name for path in (ROOT / "docs" / "pictures").glob("*.svg")))
def test_texts_of_a_drawing_have_room(home: str, opened: Opened, drawing: str) -> None:
    """In the fonts of this machine, no text leaves the drawing or lies on another one."""
    page = opened("desktop")
    page.goto(f"{home}pictures/{drawing}")
    assert page.locator("text").count() > 5
    assert page.evaluate(OVERLAPS) == []


def test_texts_without_room_are_found(tmp_path: Path, opened: Opened) -> None:
    """A text that lies on another one is found, and so is one that leaves the drawing."""
    texts = [(10, 20, "first"), (20, 24, "second"), (10, 50, "third"), (190, 80, "fourth")]
    lines = "".join(f'<text x="{x}" y="{y}">{text}</text>' for x, y, text in texts)
    (tmp_path / "a.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100">{lines}</svg>'
    )
    page = opened("desktop")
    page.goto((tmp_path / "a.svg").as_uri())
    assert page.evaluate(OVERLAPS) == ["second", "fourth"]


@pytest.mark.parametrize("name", ["", "architecture/", "notebooks/", "quick-start/"])
def test_a_picture_keeps_its_size_on_a_telephone(home: str, opened: Opened, name: str) -> None:
    """It is not made too small to read there; it can be moved within the page instead."""
    page = opened("phone")
    page.goto(home + name)
    shown = page.locator("article img")
    assert shown.count()
    assert shown.evaluate_all("all => all.every(one => one.clientWidth >= 600)")
    assert shown.evaluate_all(
        "all => all.map(one => one.parentElement).every(one => one.scrollWidth > one.clientWidth)"
    )
