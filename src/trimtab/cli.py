"""The command line; PyTorch is imported only inside the commands that need it."""

import io
import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from trimtab import __version__, options
from trimtab.atomic import beside, write
from trimtab.errors import InputError, TrimtabError, TrimtabWarning

_usual = warnings.formatwarning
_WRITERS = {".parquet": "write_parquet", ".pq": "write_parquet", ".csv": "write_csv"}
"""How the name of a file of predictions ends, to what writes it."""

SPIN = ("GOMP_SPINCOUNT", "3000")
"""How long PyTorch's threads wait for each other before they sleep, if the user does not say: some
tens of microseconds. By default it is milliseconds, in which another process that wants the core
waits as well, and then one of the threads for that. Read when PyTorch is imported."""

app = typer.Typer(
    help="Train one ranker for every behaviour, and choose the weights between them afterwards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)


def main() -> None:
    """Run the command line: exit 0 done, 1 it failed, 2 the user's input was wrong."""
    warnings.formatwarning = _spelled
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(*SPIN)
    try:
        app()
    except TrimtabError as error:
        print(f"trimtab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        print("trimtab: out of memory; try a smaller embedding.width", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)


def _spelled(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Spell a warning of our own as errors are, and any other as usual."""
    if issubclass(category, TrimtabWarning):
        return f"trimtab: {message}\n"
    return _usual(message, category, filename, lineno, line)


@contextmanager
def _stoppable(advice: str) -> Iterator[None]:
    """Say how to go on when the user stops what runs."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"trimtab: stopped; {advice}.", file=sys.stderr)
        raise typer.Exit(130) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"trimtab {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take what goes before every command."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
) -> None:
    """Simulate a two-stage feed, train on it, and show how close that comes to the truth."""
    from trimtab.training.demo import demo as run_demo
    from trimtab.training.demo import told
    from trimtab.training.progress import Terminal

    with Terminal() as progress:
        run, gaps = run_demo(out, progress)
    print(told(run, gaps))


@app.command()
def init(
    log: Annotated[str, typer.Argument(metavar="LOG", help="File, glob or folder of rows.")],
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Columns to predict: column, name=column or column:positive_value.",
            show_default="those that look like behaviours",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="RUN.TOML", help="The run file to write.")
    ] = Path("run.toml"),
) -> None:
    """Write a commented run file inferred from a log; it trains as it is."""
    import csv

    from rich.console import Console

    from trimtab.config.guess.text import summary
    from trimtab.config.infer import as_text, look

    if _exists(output):
        raise InputError(f"{output}: exists already; name another file with -o, or remove it.")
    names = None if targets is None else next(csv.reader([targets], skipinitialspace=True), [])
    found = look(log, names)
    _require_folder(output)
    write(output, as_text(found, output.parent))
    console = Console(highlight=False)
    console.print(summary(found))
    console.print(f"\n{output} is written. Read it, then:", markup=False, soft_wrap=True)
    for command in ("check", "train"):
        console.print(f"  trimtab {command} {quote(str(output))}", markup=False, soft_wrap=True)


@app.command()
def check(
    run_file: options.RunFile,
    override: options.Override = None,
    as_json: options.Json = False,
) -> None:
    """Examine the data: copies, leaks, broken funnels, label rates, weights to start from."""
    from trimtab.config.doctor import examine
    from trimtab.config.load import load
    from trimtab.config.terminal import print_findings

    findings = [finding.as_dict() for finding in examine(load(run_file, override or []))]
    if as_json:
        print(json.dumps(findings))
        return
    print_findings(findings)


@app.command()
def train(
    run_file: options.RunFile,
    override: options.Override = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Finished run to go on from with later rows."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
) -> None:
    """Train a run: checkpoint, metrics.json, report.html."""
    from trimtab.config.load import load
    from trimtab.training.progress import Terminal
    from trimtab.training.run import train as fit

    changes = [*(override or []), *([f"training.seed={seed}"] if seed is not None else [])]
    settings = load(run_file, changes)
    name = run_file.resolve().parent.name if run_file.stem == "run" else run_file.stem
    folder = out or Path("runs", name)
    with _stoppable("the same command with --resume goes on"), Terminal() as progress:
        fit(settings, out=folder, start=start, resume=resume, progress=progress)


@app.command()
def evaluate(
    run: options.RunFolder,
    data: options.Rows = None,
    as_json: options.Json = False,
) -> None:
    """Measure every target, over all rows and by scene, with intervals."""
    from trimtab.evaluation.terminal import print_metrics
    from trimtab.training.run import Run

    metrics = Run.load(run).evaluate(None if data is None else str(data))
    if as_json:
        print(json.dumps(metrics))
        return
    print_metrics(metrics)


@app.command()
def predict(
    run: options.RunFolder,
    rows: Annotated[Path, typer.Argument(metavar="INPUT", help="Rows to predict.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The .parquet or .csv file.")],
) -> None:
    """Write a Parquet or CSV file with a column a target, a row a row of INPUT."""
    from trimtab.training.run import Run

    if _exists(output) and output.is_dir():
        raise InputError(f"{output}: a folder; expected the name of a file.")
    if _exists(output) and _exists(rows) and output.samefile(rows):
        raise InputError(f"{output}: holds the rows to predict; name another file.")
    writer = _WRITERS.get(output.suffix.lower())
    if writer is None:
        raise InputError(f"{output}: expected a file to write ending in {', '.join(_WRITERS)}.")
    predictions = Run.load(run).predict(str(rows))
    content = io.BytesIO()  # Not straight to the file, where Polars hides that a disk is full.
    getattr(predictions, writer)(content)
    _require_folder(output)
    with beside(output) as place:
        place.write_bytes(content.getvalue())
    print(f"{output}: {len(predictions):,} rows of {', '.join(predictions.columns)}")


@app.command()
def compare(
    first: options.RunFolder,
    second: options.RunFolder,
    data: options.Rows = None,
    as_json: options.Json = False,
) -> None:
    """Show paired differences of two runs on the same rows, SECOND minus FIRST."""
    from rich.console import Console

    from trimtab.evaluation.compare import compare as differences
    from trimtab.evaluation.terminal import differences_table
    from trimtab.training.run import Run

    rows = None if data is None else str(data)
    found = differences(*(Run.load(run).evaluation(rows) for run in (first, second)))
    if as_json:
        print(json.dumps(found))
        return
    Console().print(differences_table(found))


@app.command()
def seesaw(
    run: options.RunFolder,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each target.")] = 1,
    data: options.Rows = None,
    as_json: options.Json = False,
) -> None:
    """Train each target alone, and say for each whether sharing helps it, and why."""
    from trimtab.training.run import Run
    from trimtab.training.seesaw import seesaw as compare_all
    from trimtab.training.trainings import Trainings, print_seesaw

    with _stoppable("the same command goes on"), Trainings() as progress:
        found = compare_all(Run.load(run), seeds=seeds, data=data, progress=progress)
    if as_json:
        print(json.dumps(found))
        return
    print_seesaw(found)
    print(f"\n{run / 'seesaw.html'} shows it; {run / 'seesaw.json'} holds the numbers.")


@app.command()
def steer(
    run: options.RunFolder,
    weights: options.Weights = None,
    formula: options.FormulaFile = None,
    profile: options.ProfileName = None,
    search: options.Search = None,
    maximise: options.Maximise = None,
    keep: options.Keep = None,
    metric: options.Metric = "utility",
    trials: options.Trials = 3000,
    against: options.Against = None,
    save: options.Save = None,
    data: options.Rows = None,
    places: options.Places = 10,
    page: options.Page = False,
    verify: options.Verify = None,
    seeds: options.Seeds = 1,
    loss_weights: options.LossWeights = False,
    as_json: options.Json = False,
) -> None:
    """Show what weights do to every target, or find them; only --verify trains again."""
    from rich.console import Console

    from trimtab.steering.terminal import show, show_regret
    from trimtab.training.growth import refuse_grown
    from trimtab.training.run import Run
    from trimtab.training.steer_request import Request
    from trimtab.training.steer_request import steer as answer
    from trimtab.training.verify import verify as retrain

    request = Request(
        weights=weights,
        formula=formula,
        profile=profile,
        against=against,
        search=search,
        maximise=maximise,
        keep=keep,
        save=save,
        data=data,
        metric=metric,
        k=places,
        trials=trials,
        page=page,
    )
    loaded = Run.load(run)
    if verify is None:
        if seeds > 1 or loss_weights:
            raise InputError("--seeds and --loss-weights are of a verification; give --verify N.")
        found, print_found = answer(loaded, request), show
    else:
        request.refuse_all()
        refuse_grown(run)
        with _stoppable("the same command goes on"):
            found = retrain(
                loaded.settings,
                verify,
                seeds=seeds,
                loss_weights=loss_weights,
                folder=loaded.folder,
                told=Console(stderr=True, highlight=False).print,
            )
        print_found = show_regret
    if as_json:
        print(json.dumps(found))
        return
    print_found(found, Console(highlight=False))


def _exists(path: Path) -> bool:
    """Say whether something is at a path; ``InputError`` where nothing can be."""
    try:
        return path.exists()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected the name of a file.") from None


def _require_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first.")


if __name__ == "__main__":
    main()
