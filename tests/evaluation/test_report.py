"""The run report: one page, self-contained, that survives whatever a run gives it."""

from __future__ import annotations

import math
import os
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from trimtab.errors import RunError
from trimtab.evaluation import report

NASTY = '<b>&"x"'
"""A feature or target name that would break a page which does not escape."""


def binary(rows: int, positives: int, auc: float | None, **more: object) -> dict[str, Any]:
    """Return the metrics of a binary target."""
    half = None if auc is None else 0.9 * math.sqrt(0.25 / max(positives, 1))
    around = None if auc is None or half is None else [auc - half, min(auc + half, 1.0)]
    gauc = None if auc is None else auc - 0.06
    inside = None if auc is None or half is None else [auc - 0.06 - half, auc - 0.06 + half]
    return {
        "kind": "binary", "rows": rows, "positives": positives, "auc": auc, "auc_interval": around,
        "gauc": gauc, "gauc_interval": inside, "logloss": 0.4312,
        "logloss_interval": [0.4262, 0.4368], "normalised_entropy": 0.8712,
        "pcoc": 1.013, "ece": 0.0087, **more,
    }  # fmt: skip


def scene(rows: int, lift: float) -> dict[str, Any]:
    """Return the metrics of one scene; small scenes have undefined ones."""
    few = rows < 1000
    return {"rows": rows, "targets": {
        "click": binary(rows, int(rows * 0.43), 0.731 + lift),
        "long_view": binary(rows, int(rows * 0.27), 0.747 + lift, given="click",
                            auc_given=0.66, auc_given_interval=[0.65, 0.67]),
        "like": binary(rows, 0 if few else int(rows * 0.0158), None if few else 0.829 - lift),
        NASTY: binary(rows, 11 if few else int(rows * 0.004), 0.81 + 2 * lift),
        "play": {"kind": "duration", "rows": rows, "mae": 14.21, "xauc": 0.702 + lift,
                 "xauc_interval": [0.694 + lift, 0.711 + lift], "rmse": 28.4, "xgauc": 0.671,
                 "pcoc": 0.964},
        "engage": {"kind": "blend", "rows": rows, "utility": 0.741 + lift,
                   "utility_interval": [0.733 + lift, 0.749 + lift], "utility_within_user": 0.688,
                   "utility_within_user_interval": [0.679, 0.698], "auc": 0.729 + lift,
                   "positives": rows // 2, "mean_gain": 0.913},
    }}  # fmt: skip


def curves() -> list[dict[str, Any]]:
    """Return two epochs of measurements, best at the ninth of twelve."""
    found = []
    for index in range(12):
        epoch = (index + 1) / 6
        fall = math.exp(-1.6 * epoch)
        past = max(0.0, epoch - 1.5)
        found.append({
            "step": 20 * (index + 1), "epoch": epoch, "best": index == 8,
            "losses": {"click": 0.59 + 0.1 * fall, "long_view": 0.52 + 0.13 * fall,
                       "like": 0.071 + 0.06 * fall, NASTY: 0.024 + 0.014 * fall,
                       "play": 2.9 + 0.7 * fall, "engage": 1.4 + 0.5 * fall},
            "metrics": {"click": 0.733 - 0.07 * fall - 0.01 * past,
                        "long_view": 0.749 - 0.08 * fall - 0.012 * past,
                        "like": 0.831 - 0.16 * fall + 0.004 * math.sin(4 * index) - 0.04 * past,
                        NASTY: None if index < 3 else 0.81 - 0.2 * fall,
                        "play": 0.703 - 0.06 * fall, "engage": 0.741 - 0.1 * fall},
            "score": 0.771 - 0.1 * fall - 0.015 * past,
        })  # fmt: skip
    return found


def reliability(top: float, skew: float, rows: int = 3000) -> dict[str, list[float]]:
    """Return ten bins up to `top` whose observations bend away from the predictions."""
    predicted = [top * ((index + 0.6) / 10) ** 1.7 for index in range(10)]
    observed = [p * (1 + skew * math.sin(2 * index)) for index, p in enumerate(predicted)]
    return {"predicted": predicted, "observed": observed, "rows": [rows] * 10}


def features() -> list[dict[str, Any]]:
    """Return thirty features."""
    named = [
        ("user_id", "id", "24,448 values"), ("video_id", "id", "31,206 values"),
        (NASTY, "ids", "up to 50 of 31,206, shares video_id"),
        ("duration_ms", "number", "log, median 18,300"),
    ]  # fmt: skip
    named += [(f"onehot_feat{index}", "id", f"{3 * index + 2} values") for index in range(18)]
    named += [(f"counter_{index}_per_day", "number", "log") for index in range(8)]
    return [
        {"name": name, "kind": kind, "detail": detail, "missing": 0.0213 * (index % 4)}
        for index, (name, kind, detail) in enumerate(named)
    ]


def data() -> dict[str, Any]:
    """Return the part of a report on the log."""
    targets = [
        ("click", "binary", None, 0.4413, 1.0), ("long_view", "binary", "click", 0.2731, 1.0),
        ("like", "binary", None, 0.0158, 5.0), (NASTY, "binary", None, 0.00037, 1.0),
        ("play", "duration", None, 21.37, 0.5), ("engage", "blend", None, None, 1.0),
    ]  # fmt: skip
    return {
        "log": "interactions.parquet", "rows": {"train": 150_000, "valid": 30_000},
        "duplicates": {"found": 4677, "dropped": 4677},
        "time": {"train": ["2022-04-25 00:00", "2022-05-03 23:59"],
                 "valid": ["2022-05-04 00:00", "2022-05-05 23:59"]},
        "scenes": [{"name": "cover", "train_rows": 92_310, "valid_rows": 18_210},
                   {"name": "stream", "train_rows": 54_105, "valid_rows": 11_172},
                   {"name": "other", "train_rows": 3585, "valid_rows": 618}],
        "features": features(),
        "targets": [{"name": n, "kind": k, "given": g, "mean": m, "observed": 150_000, "weight": w,
                     "unit": "s" if k == "duration" else None} for n, k, g, m, w in targets],
    }  # fmt: skip


def example() -> dict[str, Any]:
    """Return a report with everything in it: six targets, three scenes, undefined numbers."""
    targets = scene(30_000, 0.0)["targets"]
    targets["like"]["pcoc"] = 1.214
    targets["play"]["mae_interval"] = [13.97, 14.46]
    targets[NASTY].update(gauc=None, gauc_interval=[None, None])
    return {
        "title": "demo", "created": "2026-11-21 17:30 UTC", "version": "0.1.0", "seed": 0,
        "command": "trimtab train run.toml -s training.epochs=2 --seed 0",
        "data": data(),
        "model": {"trunk": "shared_bottom 64-32-16", "table_rows": 60_000,
                  "dense_parameters": 23_456, "table_parameters": 960_000},
        "training": {"seconds": 12.34, "rows_per_second": 210_000, "epochs": 2, "best_step": 180,
                     "rule": "the mean of every target's ranking metric on held-out rows."},
        "curves": curves(),
        "metrics": {"rows": 30_000, "targets": targets, "scenes": {
            "cover": scene(18_210, 0.004), "stream": scene(11_172, -0.021),
            "other": scene(618, -0.043)}},
        "reliability": {"click": reliability(0.9, 0.06), "long_view": reliability(0.7, 0.1),
                        "like": reliability(0.11, 0.3), NASTY: reliability(0.02, 0.5),
                        "play": reliability(88, 0.08)},
        "findings": [
            {"severity": "note", "where": "features.counter_3_per_day",
             "what": "6.4 % of values are missing.", "advice": "They are given their own value."},
            {"severity": "problem", "where": "targets.like",
             "what": "18.0 % of likes come without a click.",
             "advice": "Leave like without given."},
            {"severity": "warning", "where": f"features.{NASTY}",
             "what": "It alone orders clicks with AUC 0.98.",
             "advice": "Check that it is known before the row is shown."},
            {"severity": "warning", "where": "scenes.other",
             "what": "Only 618 held-out rows; three targets have fewer than 30 positives there.",
             "advice": "Join it with another scene, or hold out more days."},
        ],
    }  # fmt: skip


VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """A parsed page: fails on tags that do not balance, keeps what tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag, and open it unless it has no end."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag that ends where it starts, as those of SVG do."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last, and no other."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what a reader sees."""
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that a reader sees, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def count(self, tag: str) -> int:
        """Count the elements of one tag."""
        return sum(name == tag for name, _ in self.tags)


def page(of: dict[str, Any]) -> Page:
    """Render a report and parse it."""
    return Page(report.render(of))


@cache
def rendered() -> str:
    """Return the page of the example, drawn once."""
    return report.render(example())


def emptied(value: object, by: float | None) -> object:
    """Replace every number of a report."""
    if isinstance(value, dict):
        return {key: emptied(inner, by) for key, inner in value.items()}
    if isinstance(value, list):
        return [emptied(inner, by) for inner in value]
    return value if isinstance(value, str | bool) or value is None else by


def minimal() -> dict[str, Any]:
    """Return the report of a run with one target, no scenes, no curves and nothing found."""
    whole = example()
    whole["data"].update(scenes=[], time=None, features=[], targets=whole["data"]["targets"][:1])
    click = whole["metrics"]["targets"]["click"]
    return whole | {
        "metrics": {"rows": 30_000, "targets": {"click": click}, "scenes": {}},
        "curves": [], "reliability": {}, "findings": [],
    }  # fmt: skip


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        shares = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_page_is_whole_and_says_what_happened() -> None:
    """Tags balance; sections, tables and charts are there; the summary has the numbers."""
    found = Page(rendered())
    assert found.count("h1") == 1
    assert found.count("caption") == found.count("table") == 7
    assert found.count("svg") == 1 + 2 + 6 + 6 + 5
    ids = {attrs["id"] for _, attrs in found.tags if attrs.get("id")}
    links = {str(attrs["href"])[1:] for tag, attrs in found.tags if tag == "a"}
    assert links <= ids
    for said in (
        "Trained on 150,000 rows (2022-04-25 to 2022-05-03) with 30 features, 6 targets and",
        "it orders click with AUC 0.731 (0.727 to 0.735), long_view with AUC",
        "within 10\u00a0% of the observed ones, except for like (121\u00a0%).",
        "1 problem, 2 warnings and 1 note",
        "shared_bottom 64-32-16",
        "trimtab train run.toml -s training.epochs=2 --seed 0",
        "18.0 % of likes come without a click.",
    ):
        assert " ".join(said.split()) in found.text.replace(" ,", ",").replace(" )", ")")


def test_nothing_is_fetched() -> None:
    """No address but that of an inline icon, no script, and a policy that forbids the rest."""
    text = rendered()
    assert re.search(r"https?://|@import|url\(|<script|src=", text) is None
    assert "default-src 'none'" in text
    assert len(text.encode()) < 300_000


def test_names_are_escaped_everywhere() -> None:
    """A name with markup in it is text in tables, charts, titles and findings."""
    of = example()
    of["title"] = of["command"] = of["data"]["log"] = NASTY
    of["model"]["trunk"] = of["training"]["rule"] = NASTY
    of["metrics"]["scenes"][NASTY] = of["metrics"]["scenes"].pop("cover")
    text = report.render(of)
    assert NASTY not in text
    assert '&"x"' not in text
    assert Page(text).text.count(NASTY) > 20


@pytest.mark.parametrize("number", [None, float("nan"), float("inf")])
def test_undefined_numbers_are_dashes_with_a_reason(number: float | None) -> None:
    """A report without a single number is still a page, and NaN never shows."""
    of = emptied(example(), number)
    assert isinstance(of, dict)
    text = report.render(of)
    found = Page(text)
    assert re.search(r"\b(nan|inf|None|Undefined)\b", text) is None
    dashes = [attrs for _, attrs in found.tags if attrs.get("class") == "none"]
    assert len(dashes) > 100
    assert all(attrs["title"] for attrs in dashes)


def test_a_missing_metric_says_why() -> None:
    """The reason is that of the metric and of the scene."""
    of = example()
    del of["metrics"]["scenes"]["other"]["targets"]["engage"]
    reasons = {attrs.get("title") for _, attrs in page(of).tags}
    assert "It never happened on these rows." in reasons
    assert "This target has no rows here." in reasons
    assert "No user has a row where it happened and a row where it did not." in reasons


def test_a_run_with_one_target_and_no_scenes() -> None:
    """What a run does not have leaves no empty section."""
    found = page(minimal())
    assert "scenes" not in {attrs.get("id") for _, attrs in found.tags}
    assert found.count("svg") == 1
    assert "Nothing: no problems, no warnings, no notes." in found.text
    assert "Nothing was measured on the way." in found.text
    assert "with 1 target ." in found.text.replace("1 target.", "1 target .")


def test_one_target_has_its_loss_as_it_is() -> None:
    """A loss is only divided by its start where several share the axis."""
    of = minimal() | {"curves": curves()}
    assert "divided by its first measurement" not in page(of).text
    assert "divided by its first measurement" in rendered()


def test_an_empty_report_is_a_page() -> None:
    """Every part may be absent."""
    text = report.render({"title": "demo"})
    assert text.startswith("<!DOCTYPE html>")
    assert Page(text).count("h1") == 1
    assert "[]" not in text[text.index("<body>") :]


def test_many_curves_keep_the_page_small() -> None:
    """Long runs are thinned, and the best step is kept."""
    of = example()
    one = of["curves"][5]
    of["curves"] = [one | {"step": i, "epoch": i / 900, "best": i == 777} for i in range(9000)]
    text = report.render(of)
    assert len(text) < 250_000
    assert text.count('class="best"') == 7 + 6


def test_weights_are_drawn_where_balancing_moved_them() -> None:
    of = example()
    assert "Weights of the targets" not in report.render(of)
    for one in of["curves"]:
        one["weights"] = {"click": 1.0, "like": 5.0}
    assert "Weights of the targets" not in report.render(of)
    for i, one in enumerate(of["curves"]):
        one["weights"] = {"click": 1.0, "like": 5.0 - i / 4}
    text = report.render(of)
    assert text.count("<h3>Weights of the targets</h3>") == 1
    assert "like, 0.1667: 5" in text


def test_few_positives_are_greyed() -> None:
    """Under thirty positives, and only there, a number is faint."""
    assert report.headline({"auc": 0.9, "rows": 500, "positives": 29})["faint"]
    assert not report.headline({"auc": 0.9, "rows": 500, "positives": 30})["faint"]
    assert report.headline({"xauc": 0.9, "rows": 29})["faint"]
    assert report.headline({"auc": None, "rows": 500, "positives": 200})["faint"]
    assert report.headline(None)["absent"]
    targets = {"like": binary(100, 29, 0.987), "click": binary(100, 30, 0.7)}
    summary = report.render({"metrics": {"rows": 100, "targets": targets}}).split("cards")[-2]
    assert "it orders <em>click</em>" in summary


def test_a_blend_is_ranked_by_its_utility() -> None:
    """The headline of a blend is not the AUC beside it."""
    main = report.headline({"auc": 0.7, "utility": 0.8, "utility_interval": [0.7, None]})
    assert (main["label"], main["value"], main["high"]) == ("utility", 0.8, None)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (report.count(150_000), "150,000"),
        (report.count(-3), "\u22123"),
        (report.fixed(0.73149), "0.731"),
        (report.fixed(0.73149, digits=4), "0.7315"),
        (report.significant(12.34, unit="s"), "12.3\u00a0s"),
        (report.significant(210_123.4), "210,123"),
        (report.significant(0.0), "0.00"),
        (report.significant(0.00123), "0.00123"),
        (report.significant(0.0000012), "1.20e\u221206"),
        (report.plain(5.0), "5"),
        (report.plain(0.5), "0.5"),
        (report.percent(0.4413), "44.1\u00a0%"),
        (report.percent(0.0037), "0.37\u00a0%"),
        (report.percent(0.00001), "< 0.01\u00a0%"),
        (report.percent(0), "0.0\u00a0%"),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    """Commas, units, true minus signs, and no more digits than say something."""
    assert written == expected


@pytest.mark.parametrize(
    ("totals", "said"),
    [
        ({"a": 1.05, "b": 0.95}, "within 10\u00a0% of the observed ones."),
        ({"a": 1.05, "b": 0.5}, "except for <em>b</em> (50\u00a0%)."),
        (
            {"a": 2.0, "b": 0.5},
            "more than 10\u00a0% off the observed ones: <em>a</em> (200\u00a0%)",
        ),
        ({"a": None}, None),
    ],
)
def test_the_summary_says_what_adds_up(totals: dict[str, float | None], said: str | None) -> None:
    """Totals that are off are named."""
    targets = {name: binary(100, 50, 0.7, pcoc=total) for name, total in totals.items()}
    text = report.render({"metrics": {"rows": 100, "targets": targets}})
    assert ("Predicted totals" in text) == (said is not None)
    assert said is None or said in text


def test_a_long_list_of_targets_is_cut_in_the_summary() -> None:
    """The cards have them all."""
    targets = {f"t{index}": binary(100, 50, 0.7) for index in range(9)}
    assert "and 5 more." in page({"metrics": {"rows": 100, "targets": targets}}).text


def test_every_colour_can_be_read() -> None:
    """Text and series have a contrast of 4.5 and more on both grounds, light and dark."""
    text = rendered()
    light = dict(re.findall(r"--(\w+):#(\w+)", text[: text.index("@media screen")]))
    dark = dict(re.findall(r"--(\w+):#(\w+)", text[text.index("@media screen") :]))
    assert light.keys() == dark.keys()
    for colours in (light, dark):
        for name in colours.keys() - {"page", "raised", "line", "grid"}:
            for ground in ("page", "raised"):
                assert contrast(colours[name], colours[ground]) >= 4.5, name


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that cannot be written leaves the old one, and nothing beside it."""
    path = tmp_path / "report.html"
    report.write(example(), path)
    before = path.read_text(encoding="utf-8")
    assert before == rendered()

    def fail(*_: object) -> Path:
        assert path.read_text(encoding="utf-8") == before
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunError, match="full"):
        report.write(minimal(), path)
    assert path.read_text(encoding="utf-8") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
