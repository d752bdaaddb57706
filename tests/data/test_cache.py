"""Encoded logs on disk: found again, noticed when broken, and never in the way."""

import errno
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab.data import cache
from trimtab.data import prepare as preparing
from trimtab.data.labels import LabelColumn
from trimtab.data.prepare import DataPlan, Prepared, prepare
from trimtab.errors import SettingsError

Save = Callable[[str, Any], str]
MakePlan = Callable[..., DataPlan]

ROWS = 40
LOG = {
    "user": [f"u{i % 7}" for i in range(ROWS)],
    "video": [i % 5 for i in range(ROWS)],
    "tags": [",".join("abc"[: i % 4]) for i in range(ROWS)],
    "age": [None if i % 9 == 0 else i * 1.5 for i in range(ROWS)],
    "time": [1_650_000_000 + i * 3600 for i in range(ROWS)],
    "click": [i % 2 for i in range(ROWS)],
    "w": [1 + i % 3 for i in range(ROWS)],
}


@pytest.fixture
def plan(save: Save, make_plan: MakePlan) -> DataPlan:
    return make_plan(
        {
            "user": "id",
            "video": "id",
            "tags": {"kind": "ids", "separator": ","},
            "age": "number",
        },
        labels={"click": LabelColumn(column="click", where="targets.click", rule="zero_one")},
        weights={"": "w"},
        scenes={"column": "video", "low": [0, 1]},
        log=save("log.parquet", LOG),
        user="user",
        time="time",
        valid="10h",
    )


def contents(prepared: Prepared) -> dict[str, Any]:
    """Return everything that a preparation holds, to be compared."""
    arrays = {
        f"{part}/{name}": (values.dtype, values.shape, values.tobytes())
        for part in ("train", "valid")
        for name, values in getattr(prepared, part).arrays.items()
    }
    learnt = {name: one.state() for name, one in prepared.statistics.learnt.items()}
    names = (prepared.train.names, prepared.valid.names)
    tables = prepared.statistics.tables
    scenes = prepared.statistics.scenes.state()
    return arrays | {"all": (learnt, names, tables, scenes, prepared.summary)}


def mapped(prepared: Prepared) -> bool:
    """Say whether the arrays come from the disk."""
    return all(
        isinstance(values, np.memmap)
        for part in (prepared.train, prepared.valid)
        for values in part.arrays.values()
    )


def fails(*_: Any, **__: Any) -> Any:
    raise AssertionError("encoded again")


def places() -> list[Path]:
    root = cache.folder()
    return sorted(root.iterdir()) if root.exists() else []


def test_a_second_run_reads_what_the_first_left(
    plan: DataPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = preparing._encode(plan, None)
    first = prepare(plan)
    monkeypatch.setattr(preparing, "_encode", fails)
    second = prepare(plan)
    assert mapped(second)
    assert contents(encoded) == contents(first) == contents(second)


def test_mapped_rows_make_batches(plan: DataPlan) -> None:
    encoded, mapped_rows = preparing._encode(plan, None).train, prepare(plan).train
    index = np.array([3, 0, 0, 17])
    one, other = encoded.batch(index), mapped_rows.batch(index)
    assert one.ids.equal(other.ids)
    assert one.lists["tags"].values.equal(other.lists["tags"].values)
    assert one.labels["click"].equal(other.labels["click"])
    assert mapped_rows.label("click").tolist() == encoded.label("click").tolist()
    assert other.numbers.zero_().sum() == 0, "a batch may be written to, the cache stays"
    assert contents(prepare(plan)) == contents(preparing._encode(plan, None))


def files_of(place: Path) -> list[str]:
    return sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())


def test_every_file_is_in_the_manifest(plan: DataPlan) -> None:
    prepare(plan)
    (place,) = places()
    manifest = json.loads((place / cache.MANIFEST).read_text())
    found = files_of(place)
    assert sorted([*manifest, cache.MANIFEST]) == found
    kinds = {"statistics.json", "summary.json", "vocabularies/0.parquet", "train/ids.npy"}
    assert kinds < set(found)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def edit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("damage", [cut, edit, empty, grow, Path.unlink])
def test_damage_to_any_file_is_noticed_and_mended(
    plan: DataPlan, damage: Callable[[Path], None]
) -> None:
    first = contents(prepare(plan))
    (place,) = places()
    for name in files_of(place):
        damage(place / name)
        assert not cache.intact(place), name
        assert contents(prepare(plan)) == first, name
        assert cache.intact(place), name


@pytest.mark.parametrize(
    "manifest", ["", "garbage", "{}", "[]", "null", "7", '{"train/ids.npy": null}', "\udcff"]
)
def test_a_garbage_manifest_is_noticed_and_mended(plan: DataPlan, manifest: str) -> None:
    first = contents(prepare(plan))
    (place,) = places()
    (place / cache.MANIFEST).write_bytes(manifest.encode(errors="surrogateescape"))
    assert not cache.intact(place)
    assert contents(prepare(plan)) == first
    assert cache.intact(place)


def test_a_file_that_came_in_is_noticed(plan: DataPlan) -> None:
    prepare(plan)
    (place,) = places()
    shutil.copy(place / "vocabularies" / "0.parquet", place / "vocabularies" / "3.parquet")
    assert not cache.intact(place)


def test_a_file_in_the_place_of_the_folder_costs_the_cache_only(plan: DataPlan) -> None:
    first = contents(prepare(plan))
    (place,) = places()
    shutil.rmtree(place)
    place.write_text("in the way")
    assert contents(prepare(plan)) == first


def test_a_sealed_folder_that_holds_something_else_is_mended(plan: DataPlan) -> None:
    first = contents(prepare(plan))
    (place,) = places()
    for name in ("statistics.json", "train/names.json", "summary.json"):
        (place / name).write_text("{}" if name != "summary.json" else "{")
        cache.seal(place)
        assert cache.intact(place)
        assert contents(prepare(plan)) == first, name


# Which cache


def test_changed_settings_are_another_cache(plan: DataPlan, make_plan: MakePlan) -> None:
    prepare(plan)
    log = plan.data.log
    for changed in (
        {"features": {"user": "id"}},
        {"features": {"user": {"kind": "id", "least_rows": 3}}},
        {"features": {"video": "id", "user": "id"}},
        {"features": {"user": "id", "video": "id"}},
        {"features": {"user": "id"}, "valid": 0.5},
        {"features": {"user": "id"}, "duplicates": "drop"},
        {"features": {"user": "id"}, "scenes": {"column": "video", "low": [0]}},
        {"features": {"user": "id"}, "weights": {"": "w"}},
        {"features": {"user": "id"}, "user": "user"},
    ):
        before = len(places())
        prepare(make_plan(log=log, **changed))
        assert len(places()) == before + 1, changed


def test_a_changed_input_is_another_cache(save: Save, make_plan: MakePlan) -> None:
    users = {"user": [f"u{i}" for i in range(7)], "home": list("aabbccd")}
    inputs: dict[str, Any] = {"log.parquet": LOG, "users.csv": users, "valid.parquet": LOG}
    paths = {name: save(name, table) for name, table in inputs.items()}
    plan = make_plan(
        {"user": "id", "home": "id"},
        log=paths["log.parquet"],
        join=[{"table": paths["users.csv"], "on": "user"}],
        valid={"file": paths["valid.parquet"]},
    )
    prepare(plan)
    prepare(plan)
    assert len(places()) == 1
    for i, (name, table) in enumerate(inputs.items()):
        save(name, {k: v[::-1] for k, v in table.items()})
        os.utime(paths[name], ns=(0, i + 1))
        prepare(plan)
        assert len(places()) == i + 2, name


def test_a_new_file_in_the_folder_is_another_cache(save: Save, make_plan: MakePlan) -> None:
    folder = Path(save("log/1.parquet", LOG)).parent
    plan = make_plan({"video": "id"}, log=str(folder))
    assert len(prepare(plan).train) == 36
    save("log/2.parquet", LOG)
    assert len(prepare(plan).train) == 72
    assert len(places()) == 2


def test_frames_are_not_cached(plan: DataPlan) -> None:
    prepared = prepare(plan, pl.DataFrame(LOG))
    assert places() == []
    assert not mapped(prepared)
    expected = contents(prepare(plan))
    found = contents(prepared)
    assert found["all"][-1].pop("log") == "a frame"
    assert expected["all"][-1].pop("log") == plan.data.log
    assert found == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TRIMTAB_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/trimtab"),
        ({"TRIMTAB_CACHE": "", "XDG_CACHE_HOME": "/b"}, "/b/trimtab"),
        ({"TRIMTAB_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/trimtab"),
    ],
)
def test_where_caches_live(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.folder() == Path(expected)


# How much is kept


@pytest.fixture
def several(plan: DataPlan, make_plan: MakePlan) -> list[DataPlan]:
    """Plans of one log, in the order in which they were last used, hours ago."""
    others = [make_plan({"user": "id"}, log=plan.data.log, valid=share) for share in (0.2, 0.3)]
    plans = [plan, *others]
    for hours, one in zip((3, 2, 1), plans, strict=True):
        prepare(one)
        aged(of(one), hours)
    return plans


def of(plan: DataPlan) -> Path:
    return cache.folder() / cache.key(plan.key(), preparing._inputs(plan.data))


def aged(place: Path, hours: float) -> None:
    """Have everything in a folder be last used so many hours ago."""
    then = time.time() - 3600 * hours
    for path in (place, *place.rglob("*")):
        os.utime(path, (then, then))


def size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*"))


def test_the_least_recently_used_goes_first(
    several: list[DataPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(preparing, "_encode", fails)
        prepare(several[0])
    cache.shrink(sum(map(size, places())) - 1, keep=of(several[2]))
    assert set(places()) == {of(several[0]), of(several[2])}


def test_what_is_in_use_or_was_a_moment_ago_is_kept(several: list[DataPlan]) -> None:
    first, _, third = several
    mapped_rows = prepare(first)
    cache.shrink(0, keep=of(third))
    assert set(places()) == {of(first), of(third)}
    aged(of(first), 1)
    cache.shrink(0, keep=of(third))
    assert places() == [of(third)]
    assert contents(mapped_rows) == contents(prepare(first)), "mapped files stay readable"


def test_a_new_cache_makes_room_by_the_limit(
    several: list[DataPlan], make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = make_plan({"user": "id"}, log=several[0].data.log, valid=0.4)
    (of(several[1]) / "more").write_bytes(b"0" * 2_000_000)
    aged(of(several[1]), 2)
    monkeypatch.setenv(cache.LIMIT, "1MB")
    prepare(new)
    assert set(places()) == {of(new), of(several[2])}


def test_what_killed_runs_left_goes_after_a_day(plan: DataPlan, tmp_path: Path) -> None:
    prepare(plan)
    left = [cache.folder() / name for name in (".writing-a", ".going-b", ".writing-c")]
    for place, hours in zip(left, (25, 25, 23), strict=True):
        place.mkdir()
        (place / "file").write_text("x")
        aged(place, hours)
    (cache.folder() / "engine.so").write_text("compiled")
    cache.shrink(0, keep=of(plan))
    assert {path.name for path in places()} == {of(plan).name, ".writing-c", "engine.so"}


@pytest.mark.parametrize("text", ["2", "many", "1KB", "-1GB"])
def test_a_limit_that_is_no_size_is_refused(
    plan: DataPlan, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.LIMIT, text)
    with pytest.raises(SettingsError, match=f"TRIMTAB_CACHE_LIMIT: expected a size.*'{text}'"):
        prepare(plan)
    assert places() == []


# Disks and other processes


def test_a_cache_folder_that_cannot_be_written_costs_the_cache_only(
    plan: DataPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "file"))
    assert contents(prepare(plan)) == contents(preparing._encode(plan, None))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_folder_costs_the_cache_only(
    plan: DataPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "locked"))
    assert contents(prepare(plan)) == contents(preparing._encode(plan, None))


@pytest.mark.parametrize("written", range(0, 40, 3))
def test_a_disk_that_fills_up_costs_the_cache_only_and_leaves_nothing(
    plan: DataPlan, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """The disk is full after so many files; there are about forty."""
    expected = contents(preparing._encode(plan, None))
    left = [written]

    def limited(write: Any) -> Any:
        def attempt(*args: Any, **kwargs: Any) -> Any:
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            left[0] -= 1
            return write(*args, **kwargs)

        return attempt

    monkeypatch.setattr(np, "save", limited(np.save))
    monkeypatch.setattr(Path, "write_text", limited(Path.write_text))
    monkeypatch.setattr(Path, "write_bytes", limited(Path.write_bytes))
    assert contents(prepare(plan)) == expected
    assert places() == [] or cache.intact(places()[0])


def prepare_at_once(plan: DataPlan, barrier: Any, results: Any) -> None:
    """Prepare in step with the others, once for each state that the cache is in."""
    for _ in STATES:
        barrier.wait(timeout=60)
        results.put(contents(prepare(plan)))


STATES: list[Callable[[Path], Any]] = [Path.touch, edit, Path.unlink]


def test_processes_at_once_all_succeed(plan: DataPlan) -> None:
    """Without a cache, with a broken one, and with one that lacks a file."""
    expected = contents(preparing._encode(plan, None))
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    workers = [
        context.Process(target=prepare_at_once, args=(plan, barrier, results)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for damage in STATES:
        for place in places():
            damage(place / "statistics.json")
        barrier.wait(timeout=60)
        assert all(results.get(timeout=60) == expected for _ in workers)
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    (place,) = places()
    assert cache.intact(place)


def test_a_folder_that_another_run_finished_first_is_kept(plan: DataPlan) -> None:
    prepare(plan)
    (place,) = places()
    before = (place / cache.MANIFEST).stat().st_ino
    with cache.writing(place) as temporary:
        (temporary / "other").write_text("x")
    assert (place / cache.MANIFEST).stat().st_ino == before
    assert places() == [place]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), cache.writing(tmp_path / "root" / "place"):
        raise KeyError
    assert list((tmp_path / "root").iterdir()) == []


def test_a_run_that_is_replaced_while_it_reads_encodes_again(
    plan: DataPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = contents(prepare(plan))
    (place,) = places()

    def vanish(folder: Path) -> Any:
        shutil.rmtree(place, ignore_errors=True)
        raise FileNotFoundError(folder)

    monkeypatch.setattr(cache, "read", vanish)
    assert contents(prepare(plan)) == first
