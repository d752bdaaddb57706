"""How much of the front a search finds in equal time: Trimtab's own, Optuna's NSGA-II and TPE.

Every search measures weightings of the same rows by the same code; time is that of the processor,
so that a busy machine is fair to all. The hypervolume is moocore's, of the share of the space
between an order that knows nothing and the ideal one; the random draws alone are shown too.

    pip install optuna moocore
    python benchmarks/steering_search.py [--run DIR] [--targets a,b] [--metric ndcg@10] [--json]
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimtab.steering.candidates import Candidates
from trimtab.steering.search import efficient, front
from trimtab.steering.weightings import Weightings
from trimtab.steering.yardsticks import Yardstick, yardstick

if TYPE_CHECKING:  # Imported where they are used, so that --help needs neither.
    import optuna

Values = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", metavar="DIR", help="of a trained run; simulated rows without it")
    parser.add_argument("--targets", type=lambda text: text.split(","))
    parser.add_argument("--metric", default="utility")
    parser.add_argument("--trials", type=int, default=3000, help="of Trimtab, which set the time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    candidates = of_run(options.run) if options.run else simulated()
    targets = options.targets or list(candidates.labels)
    found = compare(candidates, targets, options.metric, options.trials, options.seeds)
    print(json.dumps(found) if options.json else table(found))


def of_run(folder: str) -> Candidates:
    from trimtab.training.run import Run

    return Run.load(folder).candidates()


def simulated(rows: int = 30_000) -> Candidates:
    random = np.random.default_rng(0)
    shared = random.normal(size=rows)

    def chance(base: float, common: float) -> Values:
        return 1 / (1 + np.exp(-(base + common * shared + random.normal(size=rows))))

    click, like = chance(-0.3, 1.0), chance(-4.5, -0.5)
    play = np.exp(2.5 + 0.5 * shared + 0.7 * random.normal(size=rows))
    return Candidates(
        predictions={"click": click, "like": like, "play": play},
        labels={
            "click": (random.random(rows) < click).astype(float),
            "like": (random.random(rows) < like).astype(float),
            "play": random.exponential(play),
        },
        units={"click": "", "like": "", "play": "s"},
        group=random.integers(0, rows // 5, rows),
        scene=np.zeros(rows, dtype=np.int64),
        scenes=("all",),
    )


def compare(
    candidates: Candidates, targets: list[str], metric: str, trials: int, seeds: int
) -> dict[str, Any]:
    try:
        import moocore
        import optuna
    except ImportError as error:
        raise SystemExit(f"{error.name} is not installed: pip install optuna moocore") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    measure = yardstick(metric, candidates, targets)
    weightings = Weightings.of(candidates, targets, None)

    def ours(seed: int, seconds: float) -> tuple[Values, int]:
        found = front(candidates, targets, metric=metric, trials=trials, seed=seed)
        return found.values, trials

    searches: dict[str, Callable[[int, float], tuple[Values, int]]] = {
        "trimtab": ours,
        "random": lambda s, t: drawn(weightings, measure, s, t),
        "nsga-ii": lambda s, t: study(
            weightings, measure, optuna.samplers.NSGAIISampler(seed=s), t
        ),
        "tpe": lambda s, t: study(weightings, measure, optuna.samplers.TPESampler(seed=s), t),
    }
    seconds, found = 0.0, {}
    for name, search in searches.items():
        volumes, tried = [], []
        for seed in range(seeds):
            begin = time.process_time()
            values, count = search(seed, seconds)
            if name == "trimtab" and seed == 0:
                seconds = time.process_time() - begin
            worst = measure.worst
            volume = moocore.hypervolume(values, ref=worst, maximise=True)
            volumes.append(float(volume) / (1 - worst) ** len(targets))
            tried.append(count)
        found[name] = {
            "hypervolume": float(np.mean(volumes)),
            "spread": float(np.ptp(volumes)),
            "trials": float(np.mean(tried)),
        }
    return {"targets": targets, "metric": metric, "seconds": seconds, "searches": found}


def drawn(
    weightings: Weightings, measure: Yardstick, seed: int, seconds: float
) -> tuple[Values, int]:
    random, begin, values = np.random.default_rng(seed), time.process_time(), []
    while time.process_time() - begin < seconds:
        values.append(measure.many(weightings.draw(random, 64) * weightings.natural))
    found = np.concatenate(values)
    return found[efficient(found)], len(found)


def study(
    weightings: Weightings,
    measure: Yardstick,
    sampler: "optuna.samplers.BaseSampler",
    seconds: float,
) -> tuple[Values, int]:
    import optuna

    begin = time.process_time()
    values: list[Values] = []

    def objective(trial: "optuna.Trial") -> tuple[float, ...]:
        shares = [trial.suggest_float(name, 1e-4, 1, log=True) for name in weightings.targets]
        weights = weightings.tidy(np.array([shares])) * weightings.natural
        values.append(measure.many(weights))
        if time.process_time() - begin > seconds:
            trial.study.stop()
        return tuple(values[-1][0])

    directions = ["maximize"] * len(weightings.targets)
    optuna.create_study(sampler=sampler, directions=directions).optimize(objective)
    found = np.concatenate(values)
    return found[efficient(found)], len(found)


def table(found: dict[str, Any]) -> str:
    lines = [f"{', '.join(found['targets'])} by {found['metric']}, {found['seconds']:.1f} s each"]
    lines += [
        f"  {name:8} hypervolume {one['hypervolume']:.5f} (+- {one['spread'] / 2:.5f})"
        f"  {one['trials']:7,.0f} weightings"
        for name, one in found["searches"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
