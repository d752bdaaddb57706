"""The steering page as text: one file, nothing fetched, whatever the names and numbers."""

import base64
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError, RunError
from trimtab.evaluation.metrics import auc, utility
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas import Formula
from trimtab.steering.formulas.base import parse
from trimtab.steering.page import content, render, terms, write
from trimtab.steering.page.front import tried
from trimtab.steering.page.sample import Sample

NASTY = "</script><b>&\"x'"
NOTHING = float("nan")


@pytest.fixture(autouse=True)
def few_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_WEIGHTINGS", 20)


def formula(weights: dict[str, Any], scenes: dict[str, Any] | None = None) -> Formula:
    return parse({"kind": "additive", "weights": weights, "scenes": scenes or {}}, "test")


NOW = formula({"click": 1, "like": 5, "play": {"weight": 0.5, "per": "min"}})
RICH = formula(
    {"click": 1, "click * like": -4, "play": {"weight": 2, "per": "s", "cap": 20}},
    {"cover": {"like": 3, "click": {"weight": 1, "cap": 0.5}}},
)


def candidates(count: int = 600, *, name: str = "like") -> Candidates:
    """Return lists of twelve; a tenth of the labels are missing, and one scene has no play."""
    random = np.random.default_rng(0)
    click, like = random.random(count), random.random(count) ** 3
    play = np.where(np.arange(count) % 3 == 0, NOTHING, random.exponential(30_000, count))
    labels = {
        "click": (random.random(count) < click).astype(float),
        name: (random.random(count) < like).astype(float),
        "play": random.exponential(np.nan_to_num(play) + 1) + 0 * play,
    }
    return Candidates(
        predictions={"click": click, name: like, "play": play},
        labels={n: np.where(random.random(count) < 0.1, NOTHING, y) for n, y in labels.items()},
        units={"click": "", name: "", "play": "ms"},
        group=np.arange(count, dtype=np.int64)[::-1] // 12,
        scene=(np.arange(count, dtype=np.int64) % 3 == 0).astype(np.int64),
        scenes=("feed", "cover"),
    )


class Reader(HTMLParser):
    """Gathers every tag with its attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)


def embedded(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found: dict[str, Any] = json.loads(Reader(text).scripts[0], parse_constant=refuse)
    return found


def numbers(text: str, kind: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def test_one_file_that_fetches_nothing() -> None:
    text = render(candidates(), title="runs/demo", formula=NOW, profiles={"rich": RICH})
    assert set(re.findall(r"https?://[^\"'\s<]+", text)) == {"http://www.w3.org/2000/svg"}
    tags = Reader(text).tags
    assert not any("src" in given for _, given in tags)
    assert {given["href"] for _, given in tags if "href" in given} == {"data:,"}
    policy = next(g["content"] for _, g in tags if g.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in text


def test_every_control_has_a_name() -> None:
    tags = Reader(render(candidates(), title="demo", formula=NOW, profiles={"rich": RICH})).tags
    ids = Counter(given["id"] for _, given in tags if given.get("id"))
    assert max(ids.values()) == 1
    labelled = {given["for"] for tag, given in tags if tag == "label" and given.get("for")}
    assert labelled <= set(ids)
    for tag, given in tags:
        if tag == "input":
            assert "aria-label" in given or given["id"] in labelled


def test_names_cannot_leave_their_place() -> None:
    now = formula({NASTY: 1})
    rows = candidates(name=NASTY)
    text = render(rows, title=NASTY, formula=now, profiles={NASTY: now}, items=[NASTY] * len(rows))
    assert NASTY not in text
    assert "<b>&" not in text
    reader = Reader(text)
    assert [tag for tag, _ in reader.tags].count("script") == 2
    data = json.loads(reader.scripts[0])
    assert data["targets"] == ["click", NASTY, "play"]
    assert data["lists"][0]["rows"][0][1] == NASTY
    assert NASTY in data["profiles"]


def test_same_arguments_give_the_same_page() -> None:
    pages = [render(candidates(), title="demo", formula=NOW) for _ in range(2)]
    assert pages[0] == pages[1]


def test_missing_numbers_are_valid_json(rows: Candidates) -> None:
    data = embedded(render(rows, title="demo", formula=NOW))
    assert numbers(data["sample"]["labels"]["like"]["bytes"], "u1").tolist().count(255) == 1
    assert np.isnan(numbers(data["sample"]["predictions"]["play"], "<f4")).sum() == 2
    assert data["targets"] == ["click", "like", "play"]


def test_holds_whole_lists_up_to_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "ROWS", 100)
    rows = candidates()
    data = embedded(render(rows, title="demo", formula=NOW))["sample"]
    assert data["rows"] == 96
    assert np.diff(numbers(data["starts"], "<i4")).tolist() == [12] * 8
    clicks = rows.predictions["click"].astype(np.float32)
    assert np.isin(numbers(data["predictions"]["click"], "<f4"), clicks).all()


def test_one_long_list_is_thinned() -> None:
    rows = candidates(300)
    rows.group[:] = 3
    sample = Sample.of(rows, ["click"], 50)
    assert sample.starts.tolist() == [0, 50]
    assert (np.diff(sample.rows) > 0).all()


def test_one_long_list_leaves_the_others_in() -> None:
    rows = candidates(600)
    rows.group[:200] = 1000
    sample = Sample.of(rows, ["click"], 120)
    assert 100 < len(sample.rows) <= 120
    assert not (sample.candidates.group == 1000).any()


def test_rows_without_any_label_are_left_out() -> None:
    rows = candidates(60)
    for label in rows.labels.values():
        label[:24] = NOTHING
    assert len(Sample.of(rows, rows.labels, 100).rows) == 36


def test_states_score_as_their_formulas() -> None:
    rows = candidates()
    plain = formula({"play": 0.0001, "like": 2})
    made = terms.Terms(rows, [terms.additive(f) for f in (NOW, RICH, plain)])  # type: ignore[misc]
    assert [(t.scene, t.key, t.per) for t in made.terms][:4] == [
        ("", "click", None),
        ("", "like", None),
        ("", "play", "min"),
        ("", "click * like", None),
    ]
    for one in (NOW, RICH, plain):
        known = terms.additive(one)
        assert known is not None
        np.testing.assert_allclose(slow_score(made, made.state(known)), one.score(rows), rtol=1e-12)


def slow_score(made: terms.Terms, state: list[dict[str, Any]]) -> list[float]:
    rows = made.candidates
    held = {(t.scene, t.key): one for t, one in zip(made.terms, state, strict=True)}
    per = {term.key: term.per for term in made.terms}
    found = []
    for i in range(len(rows)):
        total = 0.0
        for key in made.keys:
            own = held.get((rows.scenes[rows.scene[i]], key), {"weight": None})
            one = own if own["weight"] is not None else held["", key]
            units = np.prod([rows.prediction(name)[i] for name in terms.factors(key)])
            units /= {"min": 60_000, "s": 1000, None: 1}[per[key]]
            total += one["weight"] * min(units, one["cap"] or np.inf)
        found.append(total)
    return found


def test_a_slider_begins_at_the_weight_of_now() -> None:
    rows = candidates()
    made = terms.Terms(rows, [terms.additive(NOW), terms.additive(RICH)])  # type: ignore[list-item]
    anchors = {(t.scene, t.key): t.anchor for t in made.terms}
    assert anchors["", "click"] == 1
    assert anchors["", "play"] == 0.5
    added = [
        rows.predictions["click"].mean(),
        5 * rows.predictions["like"].mean(),
        0.5 * np.nanmean(rows.predictions["play"]) / 60_000,
    ]
    both = (rows.predictions["click"] * rows.predictions["like"]).mean()
    assert anchors["", "click * like"] == pytest.approx(np.mean(added) / both, rel=0.01)


def test_tried_weightings_are_measured_one_by_one() -> None:
    rows = candidates()
    now = terms.additive(RICH)
    assert now is not None
    made = terms.Terms(rows, [now])
    sample = Sample.of(rows, made.targets, 1000)
    on_sample = terms.Terms(sample.candidates, [now])
    found = tried(sample, made, made.state(now), count=20)
    for weights, metrics in zip(found.weights, found.metrics, strict=True):
        state = made.state(now)
        for place, weight in zip(found.terms, weights, strict=True):
            state[place] = {**state[place], "weight": weight}
        score = np.array(slow_score(on_sample, state))
        labels = sample.candidates.labels
        expected = [
            auc(labels["click"], score),
            auc(labels["like"], score),
            utility(labels["play"], score),
        ]
        np.testing.assert_allclose(metrics, expected, atol=1e-6)


def test_lists_are_those_in_which_most_happened() -> None:
    rows = candidates(120)
    quiet = rows.group < 5
    for name, label in rows.labels.items():
        label[quiet] = 0
        label[~quiet & (rows.labels[name] != 0)] = 1
    sample = Sample.of(rows, rows.labels, 1000)
    shown = sample.lists(list(rows.labels), 3, None)
    assert len(shown) == 3
    for one in shown:
        assert one["size"] == len(one["rows"])
        row, text = one["rows"][0]
        assert text == f"row {sample.rows[row]:,}"
        assert sample.candidates.group[row] >= 5


def test_says_what_cannot_be_shown() -> None:
    rows = candidates()
    ranks = parse({"kind": "rank", "weights": {"click": 1}}, "test")
    with pytest.raises(InputError, match="moves weights of additive formulas; this one is 'rank'"):
        render(rows, title="demo", formula=ranks)
    with pytest.raises(InputError, match="no target named 'clik'. Did you mean 'click'"):
        render(rows, title="demo", formula=formula({"clik": 1}))
    with pytest.raises(InputError, match="2 texts for 600 rows"):
        render(rows, title="demo", formula=NOW, items=["a", "b"])
    text = render(rows, title="demo", formula=NOW, profiles={"by_rank": ranks})
    assert "by_rank" in text
    assert embedded(text)["profiles"] == {}


def test_rows_without_labels_say_so(rows: Candidates) -> None:
    for label in rows.labels.values():
        label[:] = NOTHING
    with pytest.raises(InputError, match="no row has a label"):
        render(rows, title="demo", formula=NOW)
    with pytest.raises(InputError, match="no row has a label"):
        render(rows.some(np.zeros(6, dtype=bool)), title="demo", formula=NOW)


def test_a_single_row_makes_a_page(rows: Candidates) -> None:
    one = rows.some(np.arange(6) == 1)
    data = embedded(render(one, title="demo", formula=NOW))
    assert data["sample"]["rows"] == 1
    assert data["tried"]["metrics"][0] == [None] * 3


def test_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "steering.html"
    path.write_text("old")
    write(candidates(60), path, title="demo", formula=NOW)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(RunError, match="cannot be written"):
        write(candidates(60), tmp_path / "none" / "steering.html", title="demo", formula=NOW)
