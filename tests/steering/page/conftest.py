"""A page of lists with ties, gaps, products, caps and scenes, opened in a real browser."""

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas import Formula
from trimtab.steering.formulas.base import parse
from trimtab.steering.page import write

NOTHING = float("nan")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def now() -> Formula:
    """Return the formula in use."""
    weights = {"click": 1, "like": 5, "play": {"weight": 0.5, "per": "min"}}
    return parse({"kind": "additive", "weights": weights}, "now")


@pytest.fixture(scope="session")
def rich() -> Formula:
    """Return a formula with all that an additive one can have."""
    play = {"weight": 2, "per": "min", "cap": 1}
    weights = {"click * like": 4, "like": -2, "play": play}
    scenes = {"cover": {"like": 3, "click": {"weight": 1, "cap": 0.5}}}
    return parse({"kind": "additive", "weights": weights, "scenes": scenes}, "rich")


def candidates(count: int = 900) -> Candidates:
    """Return lists of fifteen, with ties, missing labels and a scene that has no play."""
    random = np.random.default_rng(0)
    click = random.random(count).round(2)
    like = ((1 - click) * random.random(count)).round(2)
    seconds = (40_000 * click * random.random(count)).round(-2)
    play = np.where(np.arange(count) % 4 == 0, NOTHING, seconds)
    labels = {
        "click": (random.random(count) < click).astype(float),
        "like": (random.random(count) < like).astype(float),
        "play": np.where(np.isnan(play), NOTHING, random.exponential(seconds + 1)),
    }
    for name, share in {"like": 0.1, "play": 0.05}.items():
        labels[name][random.random(count) < share] = NOTHING
    return Candidates(
        predictions={"click": click, "like": like, "play": play},
        labels=labels,
        units={"click": "", "like": "", "play": "ms"},
        group=np.arange(count, dtype=np.int64) // 15,
        scene=(np.arange(count, dtype=np.int64) % 4 == 0).astype(np.int64),
        scenes=("feed", "cover"),
    )


class Opened:
    """The page in a browser, as someone who uses it sees it."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def settle(self) -> None:
        """Wait until what was asked for is shown."""
        shown = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
        self.page.evaluate(shown)

    def press(self, slider: int, key: str, times: int = 1) -> None:
        """Press a key on a slider."""
        self.page.focus(f"#slide{slider}")
        for _ in range(times):
            self.page.keyboard.press(key)
        self.settle()

    def click(self, selector: str) -> None:
        self.page.click(selector)
        self.settle()

    def fill(self, selector: str, text: str) -> None:
        self.page.fill(selector, text)
        self.settle()

    def table(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Return target to metric to its values before and after."""
        read = """rows => rows.map(row => [
            row.querySelector("th").innerText,
            Object.fromEntries([...row.querySelectorAll("td")].map(cell => [
                cell.dataset.metric, [cell.dataset.before, cell.dataset.after]])),
        ])"""
        return {
            name: {metric: (float(ends[0]), float(ends[1])) for metric, ends in cells.items()}
            for name, cells in self.page.eval_on_selector_all("[data-target]", read)
        }

    def orders(self) -> list[list[int]]:
        """Return the rows of each list, in order."""
        read = "lists => lists.map(list => list.dataset.order)"
        found = self.page.eval_on_selector_all("#lists ol", read)
        return [[int(row) for row in order.split()] for order in found]

    def summary(self) -> str:
        return str(self.page.inner_text("#summary"))

    def formula(self) -> Formula:
        """Return the formula that is exported."""
        return parse(json.loads(self.page.text_content("#json")), "exported")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start Debian's browser; none is ever downloaded."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on this machine")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, now: Formula, rich: Formula) -> Path:
    path = tmp_path_factory.mktemp("page") / "steering.html"
    rows = candidates()
    items = [f"item <{i}>" for i in range(len(rows))]
    write(rows, path, title="runs/demo", formula=now, profiles={"rich": rich}, items=items)
    return path


@pytest.fixture
def opening(chromium: Any, file: Path) -> Iterator[Callable[[int], Opened]]:
    """Open the page at a width; in the end nothing may have gone wrong or been fetched."""
    pages: list[Any] = []
    problems: list[str] = []

    def at(width: int) -> Opened:
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url))
        pages.append(page)
        page.goto(file.as_uri())
        return Opened(page)

    yield at
    for page in pages:
        page.close()
    assert not [one for one in problems if not one.startswith(("file:", "blob:"))]


@pytest.fixture
def asked(chromium: Any, tmp_path: Path, now: Formula, rich: Formula) -> Iterator[Opened]:
    """Open the page of a formula that is not in use."""
    write(candidates(), tmp_path / "steering.html", title="runs/demo", formula=now, start=rich)
    page = chromium.new_page()
    page.goto((tmp_path / "steering.html").as_uri())
    yield Opened(page)
    page.close()


@pytest.fixture
def staged(chromium: Any, tmp_path: Path, now: Formula) -> Iterator[tuple[Candidates, Opened]]:
    """Open the page of a run whose rows pass through stages: no scene tells them apart."""
    every = candidates()
    rows = replace(every, scenes=(), scene=np.zeros_like(every.scene))
    write(rows, tmp_path / "steering.html", title="runs/demo", formula=now)
    page = chromium.new_page()
    page.goto((tmp_path / "steering.html").as_uri())
    yield rows, Opened(page)
    page.close()


@pytest.fixture
def opened(opening: Callable[[int], Opened]) -> Opened:
    return opening(1400)


@pytest.fixture(scope="module")
def given(file: Path) -> dict[str, Any]:
    """Return what the page was given."""
    text = file.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.fixture(scope="module")
def sampled(given: dict[str, Any]) -> Candidates:
    """Return the rows in the page as candidates."""
    sample = given["sample"]

    def numbers(packed: str, kind: str) -> Any:
        return np.frombuffer(base64.b64decode(packed), dtype=kind).astype(float)

    def label(packed: dict[str, str]) -> Any:
        if "floats" in packed:
            return numbers(packed["floats"], "<f4")
        found = numbers(packed["bytes"], "u1")
        return np.where(found == 255, NOTHING, found)

    starts = numbers(sample["starts"], "<i4").astype(int)
    return Candidates(
        predictions={n: numbers(p, "<f4") for n, p in sample["predictions"].items()},
        labels={n: label(p) for n, p in sample["labels"].items()},
        units={"click": "", "like": "", "play": "ms"},
        group=np.repeat(np.arange(len(starts) - 1), np.diff(starts)),
        scene=numbers(sample["scene"], "<u2").astype(np.int64),
        scenes=tuple(given["scenes"]),
    )
