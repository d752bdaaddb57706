"""``trimtab steer`` and ``Run.steer``: effects, fronts, answers, profiles, and nonsense refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import trimtab
from trimtab.errors import InputError
from trimtab.evaluation import metrics
from trimtab.steering.profiles import FILE
from trimtab.training.folder import VERIFIED
from trimtab.training.retraining import Retraining
from trimtab.training.run import Run


def answer(desk: Any, options: str) -> dict[str, Any]:
    found = desk.call(f"steer run {options} --json")
    assert found.code == 0, found.err
    assert found.err == ""
    return json.loads(found.out)


def test_the_effect_of_weights(finished: Any) -> None:
    found = answer(finished, "--weights click=1,like=5,play/min=0.5 -k 3")
    rows = Run.load("run").candidates()
    p, y = rows.predictions, rows.labels
    score = p["click"] + 5 * p["like"] + 0.5 / 60 * p["play"]
    assert found["targets"]["click"]["auc"]["value"] == pytest.approx(
        metrics.auc(y["click"], score)
    )
    gain = y["click"] + 5 * y["like"] + 0.5 / 60 * y["play"]
    within = metrics.utility_within(gain, score, rows.group)
    assert found["fused"]["utility_within_user"]["value"] == pytest.approx(within)
    assert (found["k"], found["saved"], found["against_profile"]) == (3, None, "default")
    assert {"difference", "difference_interval"} <= set(found["targets"]["like"]["ndcg"])
    assert not Path("run", FILE).exists()


def test_a_profile_is_saved_and_current(finished: Any) -> None:
    first = answer(finished, "--weights click=1 --save growth")
    assert first["saved"] == "growth"
    again = answer(finished, "")
    assert again["formula"] == first["formula"]
    assert again["against"] is None
    both = answer(finished, "--weights like=1 --save quality")
    assert both["against"] == first["formula"]
    assert answer(finished, "--profile growth --against quality")["against"] == both["formula"]
    assert answer(finished, "--profile growth --against default")["against_profile"] == "default"
    saved = json.loads(Path("run", FILE).read_text())
    assert saved["current"] == "quality"
    assert set(saved["profiles"]) == {"growth", "quality"}
    finished.assert_tidy()


def test_a_formula_of_a_file(finished: Any) -> None:
    finished.write("formula.json", '{"kind": "expression", "text": "click + sqrt(play)"}')
    found = answer(finished, "--formula formula.json")
    assert found["formula"]["text"] == "click + sqrt(play)"
    assert found["fused"] is None


@pytest.mark.parametrize("metric", ["utility", "ndcg"])
def test_a_front_and_its_knee(metric: str, finished: Any) -> None:
    found = answer(finished, f"--search click,like --trials 40 --metric {metric} --save knee")
    knee = found["points"][found["knee"]]
    assert found["metric"] == ("utility" if metric == "utility" else "ndcg@10")
    assert found["trials"] == 40
    effect = answer(finished, "")
    assert effect["formula"] == knee["formula"]
    key = "auc" if metric == "utility" else "ndcg"
    assert effect["targets"]["like"][key]["value"] == pytest.approx(knee["values"]["like"])


def test_a_constrained_question(finished: Any) -> None:
    found = answer(finished, "--maximise play --keep like=now --trials 60 --save best")
    assert found["answer"]["met"]
    like = found["targets"]["like"]["auc"]
    assert like["difference"] >= -1e-9
    assert found["answer"]["keep"]["like"]["bound"] == pytest.approx(like["against"])
    assert found["targets"]["play"]["utility"]["difference"] >= 0
    assert found["saved"] == "best"


def test_what_cannot_be_kept_is_not_saved(finished: Any) -> None:
    found = answer(finished, "--maximise play --keep like=0.999 --trials 30 --save best")
    assert not found["answer"]["met"]
    assert found["saved"] is None
    assert not Path("run", FILE).exists()


def test_other_rows(finished: Any) -> None:
    finished.write("later.parquet", finished.log.head(150))
    assert answer(finished, "--weights like=1 --data later.parquet")["rows"] == 150


@pytest.mark.parametrize(
    "options",
    [
        "--weights click=1,like=10",
        "--search click,like,play --trials 20",
        "--maximise like --keep click=0.4 --trials 20",
        "",
    ],
)
def test_what_a_person_reads(options: str, finished: Any) -> None:
    finished.patch.setenv("COLUMNS", "80")
    found = finished.call(f"steer run {options}")
    assert (found.code, found.err) == (0, "")
    assert all(len(line) <= 80 for line in found.out.splitlines()), found.out
    assert "like" in found.out


NONSENSE = [
    ("--weights clik=1", "no target named 'clik'. Did you mean 'click'?"),
    ("--weights click=nan", "--weights: 'click=nan'; expected TARGET=NUMBER"),
    ("--weights click=inf,like=x", "'click=inf'; expected ... 'like=x'; expected"),
    ("--weights click=0,like=0", "every weight is 0, so there is no order"),
    ("--weights click=1,click=2", "'click' is given twice"),
    ("--weights click/min=1", "click: a weight per 'min', but the prediction has no unit of time"),
    ("--weights feed.click=1", "no scene named 'feed'"),
    ("--weights click=1 --profile a", "--weights and --profile do not go together; give one"),
    ("--profile growth", "no profile named 'growth'"),
    ("--weights click=1 --against growth", "no profile named 'growth'"),
    ("--weights click=1 --save a/b", "profile 'a/b': expected letters, digits, _ and -."),
    ("--weights click=1 --save default", "profile 'default': is built in"),
    ("--seeds 3", "--seeds and --loss-weights are of a verification; give --verify N."),
    ("--weights click=1 --loss-weights", "--seeds and --loss-weights are of a verification"),
    ("--search clik,like", "'clik' is no target ... Did you mean 'click'?"),
    ("--search click,click", "'click' is named twice"),
    (
        "--search click --metric auc",
        "no metric 'auc' to search by; expected 'utility' (over all rows, for every target; the "
        "AUC of a binary one) or 'ndcg@10' (the first 10 places of every user, for targets with",
    ),
    ("--metric auc", "no metric 'auc' to search by; expected 'utility' (over all rows"),
    ("--maximise paly", "'paly' is no target ... Did you mean 'play'?"),
    ("--maximise play --keep like", "--keep: 'like'; expected TARGET=now or TARGET=NUMBER"),
    ("--maximise play --keep like=7", "keep like: found 7; expected 'now' or a share"),
    ("--maximise play --keep play=now", "'play' is named twice"),
    ("--maximise play --keep like=now,like=1", "--keep: 'like' is given twice"),
    ("--keep like=now", "--keep needs --maximise"),
    (
        "--verify 1 --search click --save a",
        "--verify is of the run itself; leave out --search and --save",
    ),
    ("--formula none.json", "none.json: cannot be read: No such file"),
    ("--data none.parquet", "none.parquet: no such file"),
]


@pytest.mark.parametrize(("options", "says"), NONSENSE)
def test_nonsense(options: str, says: str, finished: Any) -> None:
    finished.refused(f"steer run {options}", says)
    assert not Path("run", FILE).exists()


FORMULAS = [
    ("{", "formula.json: not valid JSON"),
    ('"additive"', "formula.json"),
    ('{"kind": "additiv", "weights": {"click": 1}}', "formula.json"),
    ('{"kind": "additive", "weights": {"click": NaN}}', "formula.json ... a finite number"),
    ('{"kind": "additive", "weight": {"click": 1}}', "formula.json ... weight: unknown key"),
    ('{"kind": "expression", "text": "clik + 1"}', "formula.json: no target named 'clik'"),
    ('{"kind": "expression", "text": "like / (click - click)"}', "the formula gives inf in row 0"),
    ('{"kind": "expression", "text": "log(click - 1)"}', "the formula gives nan in row 0"),
    (
        '{"kind": "expression", "text": "__import__(\'os\').system(\'ls\')"}',
        "found '_' at character 1; expected numbers, targets",
    ),
    (
        '{"kind": "expression", "text": "open(click)"}',
        "found 'open' at character 1; expected one of",
    ),
    ('{"kind": "multiplicative", "terms": {"click": {"a": -1}}}', "terms.click: a + b p is -"),
]


@pytest.mark.parametrize(("content", "says"), FORMULAS)
def test_formulas_that_are_nonsense(content: str, says: str, finished: Any) -> None:
    finished.write("formula.json", content)
    finished.refused("steer run --formula formula.json --save a", says)
    assert not Path("run", FILE).exists()


def test_what_the_page_cannot_show_is_not_saved(finished: Any) -> None:
    finished.write("formula.json", '{"kind": "expression", "text": "click + sqrt(play)"}')
    says = "the steering page moves weights of additive formulas"
    finished.refused("steer run --formula formula.json --save a --page", says)
    assert not Path("run", FILE).exists()


def test_profiles_of_other_targets(finished: Any) -> None:
    answer(finished, "--weights click=1 --save growth")
    place = Path("run", FILE)
    place.write_text(place.read_text().replace('"click"', '"clik"'))
    finished.refused("steer run", f"{FILE}: growth: no target named 'clik'. Did you mean 'click'?")


def test_profiles_that_are_cut_short(finished: Any) -> None:
    finished.write(f"run/{FILE}", '{"current": "a", ')
    finished.refused("steer run", f"run/{FILE}: not a file of profiles, or cut short", code=1)


def test_folder_that_holds_no_run(desk: Any) -> None:
    desk.refused("steer run", "run: no run; it has no settings.json.")


def test_ranking_in_python(finished: Any) -> None:
    run = Run.load("run")
    frame = finished.log.select("user", "age", "time").head(60)
    ranked = run.steer(click=1, like=10).rank(frame)
    assert ranked.columns == ["user", "age", "time", "score", "rank"]
    predicted = run.predict(frame)
    score = (predicted["click"] + 10 * predicted["like"]).alias("score")
    expected = dict(zip(frame["time"], score, strict=True))
    assert ranked["score"].to_list() == pytest.approx([expected[t] for t in ranked["time"]])
    for user in ranked.partition_by("user"):
        assert user["rank"].to_list() == list(range(1, len(user) + 1))
        assert user["score"].is_sorted(descending=True)
    assert (
        ranked["user"].unique(maintain_order=True).equals(frame["user"].unique(maintain_order=True))
    )


def test_ranking_a_file_of_ids_as_they_are_written(tmp_path: Path) -> None:
    items = [f"{i % 40:03}" for i in range(400)]
    click = [int(int(item) % 3 == 0) for item in items]
    log = pl.DataFrame({"item": ["guest", *items[1:]], "click": click})
    settings = {"features": {"item": "id"}, "targets": {"click": "binary"}, "data": {"valid": 0.25}}
    run = trimtab.train(settings | {"training": {"epochs": 2, "batch_rows": 64}}, log)
    place = tmp_path / "candidates.csv"
    pl.DataFrame({"item": items[:40]}).write_csv(place)
    steered = run.steer(click=1)
    ranked = steered.rank(place)
    expected = dict(zip(items[:40], steered.score(place), strict=True))
    assert dict(zip(ranked["item"], ranked["score"], strict=True)) == expected
    assert len(set(expected.values())) > 2


def test_a_frame_without_the_user_is_one_list(desk: Any) -> None:
    desk.run_file("\nfeatures.user.kind\n")
    assert desk.call("train run.toml --out run").code == 0
    steered, frame = Run.load("run").steer(click=1), desk.log.head(30)
    assert steered.rank(frame.drop("user"))["rank"].to_list() == list(range(1, 31))
    assert steered.rank(frame)["rank"].max() < 30


def test_new_rows_without_their_user_are_one_list(finished: Any) -> None:
    nobody = pl.when(pl.int_range(pl.len()) < 20).then(None).otherwise("user").alias("user")
    run, frame = Run.load("run"), finished.log.head(30).with_columns(nobody)
    ranked = run.steer(click=1).rank(frame)
    assert ranked.filter(pl.col("user").is_null())["rank"].to_list() == list(range(1, 21))
    labelled = run.candidates(finished.log.head(30).with_columns(nobody))
    assert len(set(labelled.group[:20])) == 20


def test_formulas_in_python(finished: Any) -> None:
    run = Run.load("run")
    one = run.steer("click=1,play/min=2").formula
    assert run.steer(click=1, play={"weight": 2, "per": "min"}).formula == one
    assert run.steer(one.model_dump()).formula == one
    assert run.steer(one).formula == one
    assert run.steer({"kind": "rank", "weights": {"click": 1}}).formula.kind == "rank"
    assert list(run.steer().formula.targets()) == ["click", "like", "play"]
    answer(finished, "--weights like=1 --save quality")
    assert run.steer().formula == run.steer(profile="quality").formula
    assert run.steer().formula == run.steer("like=1").formula
    found = run.steer(click=1).effect()
    assert found["against"] == run.steer().formula.model_dump()
    assert set(run.steer(like=1).off_policy(finished.log)) == {"click", "like", "play"}
    for given, says in (
        ({"clik": 1}, "no target named 'clik'"),
        ({"click": float("nan")}, "finite number"),
        ({"profile": "none"}, "no profile named 'none'"),
        ({"profile": "quality", "click": 1}, "give a formula, or profile"),
    ):
        with pytest.raises(InputError, match=says):
            run.steer(**given)


def test_a_run_without_users_has_one_list(desk: Any) -> None:
    desk.run_file("\ndata.user\nfeatures.user.kind\n")
    assert desk.call("train run.toml --out run").code == 0
    run = Run.load("run")
    assert np.unique(run.candidates().group).size == 1
    ranked = run.steer(like=1).rank(desk.log.head(20))
    assert ranked["rank"].to_list() == list(range(1, 21))
    found = answer(desk, "--weights like=1,click=1")
    assert found["lists"] == 1
    click = found["targets"]["click"]
    assert click["auc"]["interval"][0] is not None
    assert click["ndcg"]["interval"] == [None, None]
    assert isinstance(ranked, pl.DataFrame)


def test_stages_are_no_scenes_to_weigh_apart(desk: Any) -> None:
    stages = "scenes.stages = ['found', 'played']\n"
    placed = "".join(
        f"targets.{target}.scene = '{stage}'\n"
        for target, stage in (("click", "found"), ("like", "played"), ("play", "played"))
    )
    desk.run_file(f"\n{stages}{placed}")
    assert desk.call("train run.toml --out run").code == 0
    found = answer(desk, "--weights click=1,like=5")
    assert found["scenes"] == {}
    assert set(found["targets"]) == {"click", "like", "play"}
    desk.refused("steer run --weights found.click=1", "no scene named 'found'. There are none.")
    assert len(Run.load("run").steer(like=1).rank(desk.log)) == len(desk.log)


def test_the_page(finished: Any) -> None:
    answer = finished.call("steer run --weights click=2,like=5 --page")
    assert answer.code == 0, answer.err
    assert "run/steering.html shows it" in answer.out
    page = Path("run/steering.html").read_text(encoding="utf-8")
    assert "<input" in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [one["weight"] for one in data["start"]][:2] == [2, 5]
    assert data["now"] != data["start"], "the default profile, until one is saved"
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_verified_against_retraining(finished: Any) -> None:
    answer = finished.call("steer run --verify 2 --seeds 2 --json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert len(found["weightings"]) == 2
    for one in found["weightings"]:
        assert one["regret"] == pytest.approx(one["retrained"] - one["steered"])
        assert one["interval"][0] <= one["interval"][1]
        assert one["form"] in ("unlabelled", "every_row")
        assert sum(one["shares"].values()) == pytest.approx(1, abs=1e-5)
    assert found["mean_regret"] == pytest.approx(
        np.mean([w["regret"] for w in found["weightings"]])
    )
    words = finished.call("steer run --verify 1").out
    assert "Mean regret" in words
    assert "another seed" in words


def test_a_verification_that_was_stopped_goes_on(finished: Any) -> None:
    command, blend, left = "steer run --verify 3 --json", Retraining.blend, [1]

    def stop(models: Retraining, weighting: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return blend(models, weighting)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Retraining, "blend", stop)
        answer = finished.call(command)
        assert (answer.code, answer.out) == (130, "")
        assert answer.err.endswith("trimtab: stopped; the same command goes on.\n")
    left[0] = 2
    finished.patch.setattr(Retraining, "blend", stop)
    went_on = finished.call(command)
    assert (went_on.code, left) == (0, [0]), went_on.err
    assert "retrained before for weighting 1 of 3" in went_on.err
    finished.patch.setattr(Retraining, "steer", stop)
    assert finished.call(command).out == went_on.out, "nothing is left to train"
    assert Path("run", VERIFIED).exists()
    finished.assert_tidy()


def test_verified_against_loss_weights_too(finished: Any) -> None:
    alone = json.loads(finished.call("steer run --verify 1 --json").out)
    assert "reweighted" not in alone
    assert "reweighted" not in alone["weightings"][0]
    found = json.loads(finished.call("steer run --verify 1 --loss-weights --json").out)
    (one,) = found["weightings"]
    assert one["regret"] == alone["mean_regret"]
    other = one["reweighted"]
    assert other["steered"] == one["steered"]
    assert other["regret"] == pytest.approx(other["retrained"] - other["steered"])
    assert found["reweighted"]["mean_regret"] == other["regret"]
