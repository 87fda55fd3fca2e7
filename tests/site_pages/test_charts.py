"""Charts and lineages in a browser: they stand right, tell what the pointer is at, fit their window, and are cut where there is too much."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from deriva_ml.site.scripts import script
from site_pages.conftest import PHONE, Visiting
from site_pages.corpus import Corpus
from site_pages.hostile import TEXTS

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

READERS = 120
JOBS = 60


def compared(corpus: Corpus) -> str:
    return f"compare.html#{corpus.sweep}"


def left(page: Page, text: str) -> float:
    """Where a text of the drawn lineage begins."""
    box = page.locator("#graph svg").get_by_text(text, exact=True).first.bounding_box()
    assert box
    return box["x"]


def pointed_at(page: Page, mark: Locator) -> str:
    """What stands beside the pointer over a mark of a chart."""
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator(".chart-tip")
    expect(tip).to_be_visible()
    return tip.inner_text()


def test_what_came_first_stands_first(corpus: Corpus, visiting: Visiting) -> None:
    """Also a dataset that the run read itself, as did those that made its other inputs: no arrow leads back."""
    page = visiting().open(f"lineage.html#{corpus.example}")
    page.wait_for_selector("#graph svg")
    places = [
        left(page, text) for text in ("Handwritten digits", "Train a model", "logistic.npz", "My Analysis")
    ]
    assert places == sorted(places) and len(set(places)) == len(places)
    assert left(page, "logistic.npz") == left(page, "mlp_small.npz")
    assert left(page, "predictions.csv") > places[-1]


def test_a_chart_tells_what_the_pointer_is_at(corpus: Corpus, visiting: Visiting) -> None:
    """Of a point its run, parameter and metric; pressing it leads to the run."""
    page = visiting().open(compared(corpus))
    page.wait_for_selector("#points svg")
    page.wait_for_selector("#parallel svg")
    mark = page.locator("#points .mark-symbol.role-mark path").first
    told = pointed_at(page, mark).split("\n")
    assert (
        told[0] in corpus.jobs
        and told[1].startswith("model_config.l2: ")
        and told[2].startswith("accuracy: ")
    )
    mark.click(force=True)
    expect(page).to_have_url(re.compile(rf"/run\.html#{told[0]}$"))


def test_the_numbers_of_a_chart_stand_in_a_table(corpus: Corpus, visiting: Visiting) -> None:
    """For who cannot see it; each chart says in words what it is, and what stands in it is left out."""
    page = visiting().open(compared(corpus))
    page.wait_for_selector("#parallel svg")
    for drawing in page.locator("#content .drawing").all():
        assert drawing.get_attribute("role") == "img" and len(drawing.get_attribute("aria-label") or "") > 20
        assert drawing.locator("svg").get_attribute("aria-hidden") == "true"
    numbers = page.locator("#points .numbers")
    numbers.locator("summary").click()
    expect(numbers.locator("tbody th")).to_have_text(corpus.jobs)


def test_a_chart_is_as_wide_as_its_window(corpus: Corpus, visiting: Visiting) -> None:
    """Also when that changes."""
    page = visiting().open(compared(corpus))
    page.wait_for_selector("#parallel svg")
    widths = []
    for width, height in ((1600, 1000), PHONE):
        page.set_viewport_size({"width": width, "height": height})
        svg = page.locator("#points svg")
        expect(svg).to_have_attribute(
            "width", str(page.locator("#points .drawing").evaluate("one => one.clientWidth"))
        )
        widths.append(int(svg.get_attribute("width") or 0))
    assert widths[0] > 1000 and widths[1] < 390


def test_a_metric_that_stays_the_same_has_its_own_value(corpus: Corpus, visiting: Visiting) -> None:
    """An axis whose least and greatest values are one would say 0 of any number."""
    page = visiting().open(f"compare.html#{corpus.example},{corpus.weights[0]}")
    chart = page.locator(".chart", has=page.locator(".chart-title", has_text="rate"))
    expect(chart.locator("svg").last).to_be_visible()
    assert "0.100" in chart.locator("svg text").all_text_contents()


def test_runs_are_taken_out_and_added(corpus: Corpus, visiting: Visiting) -> None:
    """The address says which; the first is what the others are compared with; Back undoes it."""
    first, second, third = corpus.jobs[:3]
    page = visiting().open(f"compare.html#{first},{second}")
    heads = page.locator("table.compared thead th a")
    expect(heads).to_have_text([first, second])
    page.get_by_label("Add a run").fill(third)
    page.keyboard.press("Enter")
    expect(heads).to_have_text([first, second, third])
    assert page.evaluate("document.activeElement.id") == "add", "another one can be added at once"
    page.get_by_role("button", name=f"Compare with {third}").click()
    expect(heads).to_have_text([third, first, second])
    page.get_by_role("button", name=f"Remove {first}").click()
    expect(heads).to_have_text([third, second])
    assert page.url.endswith(f"#{third},{second}")
    page.go_back()
    expect(heads).to_have_text([third, first, second])


# ------------------------------------------------------------------------------------------------------------- many
def run(rid: str, **told: Any) -> dict[str, Any]:
    """What a site tells of a run."""
    empty = "reason description by started_by imported cite repeat replay_of config".split()
    lists = "pushed parameters not_set overrides choices environment packages inputs outputs datasets".split()
    return {
        **dict.fromkeys(empty, ""),
        **{name: [] for name in (*lists, "parents", "children", "metrics", "replays")},
        **{"rid": rid, "when": "2026-01-01T00:00:00Z", "status": "Uploaded", "seconds": 1, "kind": "model"},
        "workflow": {"name": "Train", "type": "", "version": "", "url": "", "checksum": ""},
        "code": {"commit": "", "version": "", "url": "", "dirty": False, "differences": [], "patch": ""},
        "notebook": None,
        **told,
    }


@pytest.fixture(scope="module")
def many(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of a sweep with many jobs, and a file with many readers."""
    folder = tmp_path_factory.mktemp("many") / "site"
    shutil.copytree(site, folder, ignore=shutil.ignore_patterns("data", "previews", "notebooks"))
    jobs = [f"1-{place:04}" for place in range(JOBS)]
    runs = [
        run("S-0001", kind="sweep", children=[[rid, i] for i, rid in enumerate(jobs)]),
        *(
            run(rid, parents=[["S-0001", i]], parameters=[["__proto__", i, True]])
            for i, rid in enumerate(jobs)
        ),
    ]
    count = len(runs)
    names = TEXTS * (JOBS // len(TEXTS))
    readers = [[f"R-{place:04}", 0, f"reader {place}"] for place in range(READERS)]
    data: dict[str, Any] = {
        "info": {
            "project": "many",
            "made": "2026-01-01T00:00:00Z",
            "runner": "",
            "charts": True,
            "since": "",
            "count": count,
            "of": count,
            "runs": [one["rid"] for one in runs],
            "datasets": [],
        },
        "runs": {
            **{
                name: [one[name] for one in runs]
                for name in "rid when status kind description seconds".split()
            },
            "workflow": ["Train"] * count,
            "version": [""] * count,
            "parents": [[rid for rid, _ in one["parents"]] for one in runs],
            "replay": [""] * count,
            "columns": [
                {"name": "__proto__", "kind": "parameter", "values": [None, *range(JOBS)]},
                *(
                    {"name": name, "kind": "parameter", "values": [None, *names, *names[: JOBS % len(names)]]}
                    for name in TEXTS
                ),
                {"name": "a.b[c]", "kind": "metric", "values": [None, *(i * i for i in range(JOBS))]},
            ],
        },
        "graph": {
            "nodes": [["F-0001", 1, "hub.npz"], *readers],
            "edges": [[0, place + 1, ""] for place in range(READERS)],
        },
        "files": {name: [] for name in "name rid table size md5 types made_by read_by".split()},
        "datasets": [],
        **{f"runs/{one['rid']}": one for one in runs},
    }
    for name, value in data.items():
        path = folder / "data" / f"{name}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(script(name, value))
    return folder


def test_a_record_with_very_many_neighbours(many: Path, visiting: Visiting) -> None:
    """Some are drawn, a line says of how many, and the list has all of them, more and more."""
    page = visiting(of=many).open("lineage.html#F-0001")
    page.wait_for_selector("#graph svg")
    assert "100 more stand beside these" in page.locator("#said").inner_text()
    assert page.locator("#graph svg").get_by_text("reader", exact=False).count() == 20
    assert page.locator(".tree a").count() == 20
    page.get_by_role("button", name="Show 100 of 100 more").click()
    assert page.locator(".tree a").count() == READERS
    assert page.evaluate("document.activeElement.textContent") == "reader 20"


def test_a_sweep_of_very_many_jobs(many: Path, visiting: Visiting) -> None:
    """The table has the first fifty, which is said, the charts all; a line is highlighted, and leads to its run."""
    page = visiting(of=many).open("compare.html#S-0001")
    page.wait_for_selector("#parallel svg")
    assert "first 50 of 60" in page.locator("#said").inner_text()
    assert page.locator("table.compared thead th").count() == 50
    assert page.locator("#points .mark-symbol.role-mark path").count() == JOBS
    ways = page.locator("#parallel .way path")
    assert ways.count() == JOBS and page.locator("#parallel .lit path").count() == 0
    box = ways.last.bounding_box()
    assert box
    page.locator("#parallel svg").scroll_into_view_if_needed()
    box = ways.last.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#parallel .lit path")).to_have_count(1)
    assert page.locator(".chart-tip").inner_text().split("\n")[1].startswith("__proto__: ")


def test_names_are_drawn_as_they_are(many: Path, visiting: Visiting) -> None:
    """Whatever a parameter and its values are called: a library that takes a name for its own draws another, or nothing."""
    page = visiting(of=many).open("compare.html#S-0001")
    page.wait_for_selector("#parallel svg")
    for name in ("__proto__", *TEXTS):
        place = page.locator("#parameter option").all_text_contents().index(name)
        page.locator("#parameter").select_option(str(place))
        expect(page.locator("#points .axis-title")).to_have_text(name, use_inner_text=False)
        expect(page.locator("#points .mark-symbol.role-mark path")).to_have_count(JOBS)
