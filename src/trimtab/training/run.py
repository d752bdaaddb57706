"""A run: one training, kept in a folder, and what can be done with it afterwards."""

import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import torch

from trimtab import atomic
from trimtab.calibration import Calibration
from trimtab.config.load import load, parse
from trimtab.config.schema import RunSettings
from trimtab.data.columns import Names
from trimtab.data.new_rows import encode_new
from trimtab.data.prepare import encode_rows, prepare
from trimtab.data.seen import Seen
from trimtab.data.statistics import Statistics
from trimtab.errors import DataError, InputError, RunError, SettingsError
from trimtab.evaluation.evaluate import Evaluation
from trimtab.evaluation.predict import predict
from trimtab.evaluation.report import write as write_report
from trimtab.steering.candidates import Candidates
from trimtab.steering.steered import Steered
from trimtab.training import checkpoint, growth, importance
from trimtab.training.build import PROCESSOR, build_model, build_state
from trimtab.training.checks import require_learnable
from trimtab.training.conclude import conclude
from trimtab.training.fit import fit
from trimtab.training.folder import (
    DAMAGE,
    LAST,
    MODEL,
    REPORT,
    place_of,
    rows_of,
    saved_calibration,
    saved_settings,
    whole,
)
from trimtab.training.front import FRONT
from trimtab.training.hold import claimed
from trimtab.training.passes import make_room
from trimtab.training.progress import Progress, Silent
from trimtab.training.report import contents
from trimtab.training.seen import warn_before_measuring
from trimtab.training.steer import Steering

_DEVICE = re.compile(r"cpu|cuda(:\d+)?|mps")
"""Names of the devices that a run may compute on."""


class Run:
    """A trained run: its settings, what it learnt of the data, and its model.

    Made by :func:`trimtab.train` or :meth:`Run.load`.
    """

    def __init__(
        self,
        folder: Path,
        settings: RunSettings,
        statistics: Statistics,
        model: Any,
        *,
        calibration: Calibration,
        rows: Mapping[str, str],
        seen: Seen | None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.statistics = statistics
        self.model = model
        self.calibration = calibration
        self.rows = rows
        self.seen = seen

    @classmethod
    def load(cls, folder: str | Path) -> "Run":
        """Read a finished run.

        Raises
        ------
        InputError
            When the folder is no run, or one that has not finished.
        RunError
            When its files are damaged.
        """
        folder = place_of(folder)
        settings = saved_settings(folder)
        if not (folder / MODEL).exists():
            raise InputError(
                f"{folder}: the run has not finished; go on with `trimtab train ... --resume`."
            )
        tensors, facts = checkpoint.load(folder / MODEL)
        device = PROCESSOR
        with suppress(SettingsError):  # A machine without a GPU serves what one with it trained.
            device = device_of(settings)
        try:
            statistics = Statistics.load(folder, settings.features)
            names = Names(**{kind: tuple(columns) for kind, columns in facts["names"].items()})
            engine = settings.embedding.engine.serve(device)
            model = build_model(settings, statistics, names, engine)
            make_room(model, len(facts["served"].get("earlier", ())))
            model.load_state_dict(tensors)
            calibration = saved_calibration(folder, settings, model)
            seen = Seen.restore(facts.get("seen"))
        except DAMAGE:
            raise RunError(
                f"{folder}: damaged, or changed after training; train it anew."
            ) from None
        model.to(device)
        return cls(
            folder,
            settings,
            statistics,
            model.eval(),
            calibration=calibration,
            rows=facts["rows"],
            seen=seen,
        )

    def evaluate(self, data: Any = None) -> dict[str, Any]:
        """Return the metrics of every target, over all rows and by scene, with intervals.

        Parameters
        ----------
        data
            A frame (Polars, pandas, Arrow), or the path of a file, with labels. When left out, the
            run's own valid rows, whose levels are measured by maps that were fitted without them.

        Raises
        ------
        DataError
            When a column is missing or holds what the run file forbids.
        """
        return self.evaluation(data).metrics()

    def evaluation(self, data: Any = None) -> Evaluation:
        """Return predictions and labels of labelled rows, as ``evaluate`` sees them."""
        plan = growth.plan_of(self.folder, self.settings, self.statistics)
        if data is None:
            if self.settings.data.log is None:
                raise DataError(
                    "the run was trained on a frame: give labelled rows with --data (data=)."
                )
            try:
                prepared = prepare(plan)
            except DataError as error:
                raise DataError(f"{error} Or give labelled rows with --data (data=).") from None
            if rows_of(prepared) != self.rows:
                raise DataError(
                    "data.log: not what the run was trained on any more; give labelled rows with "
                    "--data (data=)."
                )
            evaluation = Evaluation(self.model, prepared.valid)
            evaluation.calibrate(self.calibration, self.settings.calibration)
        else:
            columns = encode_rows(plan, self.statistics, data, labelled=True)
            warn_before_measuring(self.seen, columns, self.folder)
            evaluation = Evaluation(self.model, columns)
            evaluation.calibrate(self.calibration)
        return evaluation

    def predict(self, data: Any) -> pl.DataFrame:
        """Return a column a target, in the order of the rows; null where its scene lacks it.

        Beside a conditional target ``b`` stands ``b_given_a``. Files are read in chunks where
        ``data.memory`` is set.

        Raises
        ------
        DataError
            When a feature's column is missing or holds what its kind forbids.
        """
        parts = encode_new(self.settings.plan(), self.statistics, data)
        predicted = [pl.DataFrame(predict(self.model, part, self.calibration)) for part in parts]
        return pl.concat(predicted).with_columns(pl.all().fill_nan(None))

    def candidates(self, data: Any = None, *, labelled: bool = True) -> Candidates:
        """Return rows as candidates to put in order; the run's own valid rows by default."""
        return Steering(self).candidates(data, labelled=labelled)

    def steer(
        self, formula: Any = None, /, *, profile: str | None = None, **weights: Any
    ) -> Steered:
        """Return the run with a formula that puts candidates in order.

        ``run.steer(click=1, like=10)``, ``run.steer("click=1,play/min=2")``,
        ``run.steer({"kind": "rank", ...})``, ``run.steer(profile="growth")``; the current profile
        where nothing is given.

        Raises
        ------
        InputError
            When a target, a weight or a formula is wrong.
        """
        return Steering(self).steered(formula, profile, weights)


def train(
    settings: str | Path | Mapping[str, Any] | RunSettings,
    frame: Any = None,
    *,
    out: str | Path | None = None,
    start: str | Path | Run | None = None,
    resume: bool = False,
    add: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train a run.

    Parameters
    ----------
    settings
        A run file's path, its content as nested dictionaries, or settings read before.
    frame
        Rows to train on in place of ``data.log``: Polars, pandas or Arrow.
    out
        Folder of the run, made when it does not exist; a temporary one when left out.
    start
        Finished run, or its folder, to go on from with later rows: its ids keep their table rows,
        new ones get rows of their own; weights and the optimisers' state go on. It is only read.
    resume
        Go on from the last checkpoint in ``out``, if there is one.
    add
        Put the run into ``out`` though other files are in it.
    progress
        Is told of every step, such as ``trimtab.training.progress.Terminal()``; nothing is shown
        when left out.

    Returns
    -------
    Run
        With the weights of the best evaluation.

    Raises
    ------
    SettingsError, DataError
        Before anything is written.
    RunError
        When training cannot go on; the last checkpoint is intact.
    """
    settings = _settings(settings)
    device = device_of(settings)
    place = None if out is None else place_of(out)
    named = None if start is None else _folder(start)
    if settings.training.threads:
        torch.set_num_threads(settings.training.threads)
    progress = progress or Silent()
    with claimed(place, resume=resume, add=add):
        if resume and place and not (place / LAST).exists():
            progress.note(
                f"{place}: no checkpoint to go on from; training starts at the beginning."
            )
        return _trained(settings, frame, device, place, named, progress)


def _trained(
    settings: RunSettings,
    frame: Any,
    device: torch.device,
    place: Path | None,
    named: Path | None,
    progress: Progress,
) -> Run:
    """Train in a folder that is held, or in a temporary one."""
    progress.stage("reading and encoding the log")
    source = growth.source_of(named, place, settings)
    base = growth.base_of(place, settings, source)
    prepared = prepare(replace(settings.plan(), base=base), frame)
    known = source.settings.targets if source else settings.targets if base else ()
    require_learnable(settings, prepared, known)
    state = build_state(settings, prepared, device)
    folder = place or Path(tempfile.mkdtemp(prefix="trimtab-"))
    for swept in (folder, folder / FRONT):
        atomic.sweep(swept)
    with whole(folder):
        growth.begin(folder, settings, prepared, state, source)
        progress.start(settings, prepared, state)
        fit(state, settings, prepared, folder, progress)
    end = conclude(state, settings, prepared, folder, progress)
    page = contents(settings, prepared, state, end, title=folder.name, frame=frame)
    progress.stage("measuring what carries each target")
    page["importance"] = importance.keep(
        folder, settings, prepared, evaluation=end.evaluation, calibration=end.calibration
    )
    write_report(page, folder / REPORT)
    progress.finished(folder, end.metrics, end.served.told(state.curves))
    progress.examined(page["findings"])
    return Run(
        folder,
        settings,
        prepared.statistics,
        state.model,
        calibration=end.calibration,
        rows=rows_of(prepared),
        seen=end.seen,
    )


def _settings(settings: str | Path | Mapping[str, Any] | RunSettings) -> RunSettings:
    if isinstance(settings, RunSettings):
        return settings
    return parse(settings) if isinstance(settings, Mapping) else load(settings)


def device_of(settings: RunSettings) -> torch.device:
    """Return the device that a run computes on; ``SettingsError`` where the machine has none."""
    wanted = settings.training.device
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if not _DEVICE.fullmatch(wanted):  # PyTorch has more that nothing can be trained on: meta.
            raise RuntimeError
        return torch.empty(0, device=wanted).device
    except (RuntimeError, AssertionError):
        raise SettingsError(
            f"training.device: this machine has no {wanted!r}; expected 'auto', 'cpu' or 'cuda'."
        ) from None


def _folder(run: str | Path | Run) -> Path:
    return run.folder if isinstance(run, Run) else place_of(run)
