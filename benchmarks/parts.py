"""What another part does, on KuaiRand or another run: differences to the run's own, seed by seed.

python benchmarks/parts.py trunk [--kinds mmoe,ple] [--seeds 5] [--epochs 1] [--results FILE]
python benchmarks/parts.py balancing [--kinds uncertainty,torchjd/upgrad]
python benchmarks/parts.py setting [--kinds training.precision=bf16,embedding.engine=torch]
                           [-s trunk.kind=shared_bottom ...]: changes of the run for them all
                           [--run FILE]: another run file than that of examples/kuairand

A trunk or balancer has its default settings; a setting is changed alone. All kinds are built once
before the first is trained, so that one that does not fit the run, or needs a package that is not
there, is told at once. Printed are the ranking metrics as served: the run's own, then each kind's
difference to it with 95 % of Student's t over seeds, then the processor seconds of a training. Of a
results file only trainings of the same run file, changes and epochs are gone on from.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_file import T_OF_VALUES, ResultsFile, half_width

import trimtab
from trimtab.balancing import balancers
from trimtab.config.load import parse
from trimtab.config.schema import RunSettings
from trimtab.data.prepare import Prepared, prepare
from trimtab.training.build import build_state
from trimtab.training.in_memory import train_in_memory
from trimtab.training.state import State
from trimtab.trunks import trunks

KUAIRAND = Path(__file__).resolve().parents[1] / "examples" / "kuairand" / "run.toml"
KINDS = {
    "trunk": list(trunks),
    "balancing": [
        *(kind for kind in balancers if kind != "torchjd"),
        *(f"torchjd/{name}" for name in ("upgrad", "pcgrad", "aligned_mtl", "nash")),
    ],
    "setting": [
        "training.precision=bf16",
        "training.compile=true",
        "embedding.engine=torch",
        "embedding.engine=fbgemm",
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=sorted(KINDS))
    parser.add_argument("--run", type=Path, default=KUAIRAND, metavar="FILE")
    parser.add_argument("--kinds", type=lambda text: text.split(","))
    parser.add_argument("--seeds", type=int, default=5, choices=sorted(T_OF_VALUES))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-s", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--results", type=Path, help="JSON lines to write, and to go on from")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, list[dict[str, float]]] = {}
    file = ResultsFile(
        options.results,
        {"run": str(options.run), "changes": options.changes, "epochs": options.epochs},
    )
    done = file.done()
    settings = trimtab.load_settings(options.run, options.changes)
    own = {settings.trunk.kind, settings.balancing.kind}  # What the others are compared with.
    kinds = options.kinds or [kind for kind in KINDS[options.part] if kind not in own]
    require(options.run, options.part, kinds, options.changes)
    for kind in ("", *kinds):
        ranks = [line["ranks"] for line in done if line["kind"] == kind][: options.seeds]
        started = time.process_time()
        trained = options.seeds - len(ranks)
        for seed in range(len(ranks), options.seeds):
            once = [f"training.seed={seed}", f"training.epochs={options.epochs}"]
            ranks.append(one(options.run, options.part, kind, [*options.changes, *once]))
            file.add({"kind": kind, "ranks": ranks[-1]})
        found[kind] = ranks
        seconds = (time.process_time() - started) / trained if trained else float("nan")
        print(row(kind, ranks, found[""]), f"{seconds:.0f} |", flush=True)


def require(run: Path, part: str, kinds: Sequence[str], changes: list[str]) -> None:
    """Build every kind; exit with what does not fit this run or is not installed, a line each."""
    problems = []
    for kind in kinds:
        try:
            built(run, part, kind, changes)
        except trimtab.TrimtabError as error:
            problems.append(f"{kind}: {error}")
    if problems:
        raise SystemExit("\n".join(problems))


def built(
    run: Path, part: str, kind: str, changes: list[str]
) -> tuple[State, RunSettings, Prepared]:
    settings = CHANGED[part](run, changes, kind) if kind else trimtab.load_settings(run, changes)
    prepared = prepare(settings.plan())
    return build_state(settings, prepared), settings, prepared


def one(run: Path, part: str, kind: str, changes: list[str]) -> dict[str, float]:
    """Train once; return each target's ranking metric as served."""
    return dict(train_in_memory(*built(run, part, kind, changes)).metrics)


def with_setting(run: Path, changes: list[str], kind: str) -> RunSettings:
    return trimtab.load_settings(run, [*changes, kind])


def with_part(part: str, run: Path, changes: list[str], kind: str) -> RunSettings:
    content: dict[str, Any] = trimtab.load_settings(run, changes).model_dump(mode="json")
    name, _, aggregator = kind.partition("/")
    content[part] = {"kind": name, **({"aggregator": aggregator} if aggregator else {})}
    return parse(content)


CHANGED: dict[str, Callable[[Path, list[str], str], RunSettings]] = {
    "trunk": partial(with_part, "trunk"),
    "balancing": partial(with_part, "balancing"),
    "setting": with_setting,
}


def row(kind: str, ranks: list[dict[str, float]], base: list[dict[str, float]]) -> str:
    cells = []
    for target in base[0]:
        values = np.array([one[target] for one in ranks])
        if not kind:
            cells.append(f"{values.mean():.4f}")
            continue
        values = values - np.array([one[target] for one in base])
        cells.append(f"{values.mean():+.4f} ± {half_width(values):.4f}")
    return f"| {kind or 'the run itself'} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
