"""A feed of two stages, simulated, with the truth beside every row.

A row is an impression. On the discovery page the user stops or not, looks for some seconds and
may click; only a click opens the playback page, where the item plays for some seconds and may be
liked. What users like and what items offer is hidden: it shows through their ids and, with noise,
through their attributes.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import polars as pl
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Columns = dict[str, Floats]
Rate = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=5)]

TARGETS = ("stop", "dwell", "click", "play", "like")

_PEAK_HOURS = {"stop": 20, "dwell": 22, "click": 12, "play": 23, "like": 9}
_AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
_CITIES, _TOPICS, _AUTHORS = 20, 12, 100
_FIRST_ITEM_ID = 100_001
_FIRST_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z
_HOUR_MS = 3_600_000
_BIAS_ROWS = 200_000
_FACTOR_DECAY = 1 / 4  # steep: the first factor, which own parts reveal, is most of a match


class SimulationSettings(BaseModel):
    """How large the feed is, what happens in it, and how hidden taste drives it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rows: PositiveInt = 600_000
    """Impressions."""
    users: PositiveInt = 2_000
    """Users that impressions are drawn from."""
    items: PositiveInt = 1_000
    """Items that impressions are drawn from."""
    days: PositiveInt = 14
    """Days that the log covers, from midnight UTC."""
    popularity_exponent: float = Field(default=0.5, ge=0, le=2)
    """Of Zipf's law, for users and items alike; 0 makes all equally frequent."""
    stop_rate: Rate = 0.45
    """Share of impressions that are stopped at."""
    click_rate_given_stop: Rate = 0.4
    """Share of stops that are clicked."""
    like_rate_given_click: Rate = 0.05
    """Share of clicks that are liked."""
    glance_seconds: PositiveFloat = 0.6
    """Mean dwell of an impression that is not stopped at, in seconds."""
    dwell_seconds_given_stop: PositiveFloat = 4.0
    """Mean dwell of a stop, in seconds."""
    play_seconds_given_click: PositiveFloat = 60.0
    """Mean seconds played after a click."""
    latent_width: PositiveInt = 4
    """Hidden factors of a user and of an item, for each target; the first matters most."""
    stop_strength: Strength = 1.4
    """Standard deviation over impressions of the logit of a stop, but for the hour's effect."""
    click_strength: Strength = 1.2
    """The same of a click, given a stop."""
    like_strength: Strength = 0.5
    """The same of a like, given a click; somewhat less where ``like_from_play`` mixes two."""
    seconds_strength: Strength = 0.5
    """The same of the log of a duration's mean, in log seconds."""
    seconds_spread: Strength = 0.8
    """Standard deviation of the log of a duration around its mean: the heavy tail."""
    match_share: Share = 0.1
    """Share of a logit's variance from how user and item match, slow to learn from ids."""
    correlation: Share = 0.9
    """Of the factors of two targets: 0 independent, 1 the same; at 0.4 a seesaw shows."""
    like_from_play: Share = 0.5
    """Part of what drives a like that is what makes play long; the rest is its own."""
    hour_strength: Strength = 0.2
    """Amplitude of the hour's effect on a logit or on the log of a mean."""
    attribute_noise: Strength = 1.0
    """Standard deviation of the noise in attributes, where a factor's own is 1."""
    seed: NonNegativeInt = 0
    """Users and items stay as they are when only ``rows`` or ``days`` change."""


@dataclass(frozen=True)
class Simulation:
    """A simulated log, its side tables, and the truth."""

    log: pl.DataFrame
    """A row an impression, in order of time. ``play`` and ``like`` are null without a click."""
    users: pl.DataFrame
    """Attributes of everyone, once, by ``user_id``."""
    items: pl.DataFrame
    """Attributes of everything, once, by ``item_id``."""
    truth: pl.DataFrame
    """Aligned with ``log``, over all impressions: ``stop``, ``click``, ``like`` are probabilities,
    ``dwell`` and ``play`` expected seconds, a play that never starts counting as 0.
    ``b_given_a`` is the same among the rows where ``a`` happens."""


@dataclass(frozen=True)
class _Population:
    """All users, or all items."""

    factors: Floats  # by target, member and factor; mean 0 and deviation 1 over impressions
    view: Floats  # what attributes show: the mean over targets of the factors, with noise
    popularity: Floats  # chance that an impression is of this member


def simulate(settings: SimulationSettings) -> Simulation:
    """Draw users, items, impressions and what followed. The same settings give the same frames.

    The logit of a binary target, and the log of a duration's mean, is a bias, a part of the user
    (its first factor), a part of the item (the same), the product of their factors for this
    target, and a small effect of the hour. Labels are then independent draws, so the truth has a
    closed form. Biases are solved so that the rates and mean seconds of the settings hold.
    """
    streams = [default_rng((settings.seed, stream)) for stream in range(4)]
    users = _draw_population(settings, settings.users, streams[0])
    items = _draw_population(settings, settings.items, streams[1])
    user_table, item_table = _user_table(users, streams[0]), _item_table(items, streams[1])
    seen = _draw_impressions(settings, users, items, streams[2])
    truth = _true_expectations(settings, _signals(settings, users, items, seen))
    log = seen.select(
        "time_ms",
        user_table["user_id"].gather(seen["user"]),
        item_table["item_id"].gather(seen["item"]),
        "hour",
    )
    log = log.hstack(_draw_labels(settings, truth, streams[3]))
    return Simulation(log, user_table, item_table, pl.DataFrame(truth))


def best_auc(simulation: Simulation) -> dict[str, float]:
    """AUC over all impressions of the true probabilities; not a number where one class is all."""
    return {
        target: _auc(simulation.log[target].fill_null(0) == 1, simulation.truth[target])
        for target in ("stop", "click", "like")
    }


def _draw_population(settings: SimulationSettings, members: int, rng: Generator) -> _Population:
    popularity: Floats = np.arange(1.0, members + 1) ** -settings.popularity_exponent
    popularity = rng.permutation(popularity / popularity.sum())
    shared = rng.standard_normal((1, members, settings.latent_width))
    own = rng.standard_normal((len(TARGETS), members, settings.latent_width))
    factors = np.sqrt(settings.correlation) * shared + np.sqrt(1 - settings.correlation) * own
    factors -= (popularity @ factors)[:, None]
    deviation = np.sqrt(popularity @ factors**2)[:, None]
    factors /= np.where(deviation > 0, deviation, 1)  # one member alone does not deviate
    view: Floats = factors.mean(axis=0)
    view /= np.sqrt(settings.correlation + (1 - settings.correlation) / len(TARGETS))
    view += settings.attribute_noise * rng.standard_normal(view.shape)
    return _Population(factors, view, popularity)


def _user_table(users: _Population, rng: Generator) -> pl.DataFrame:
    ranks = users.view[:, 0].argsort().argsort()
    cities = _nearest_group(users.view, _CITIES, rng)
    columns = {
        "user_id": [f"u{user:06d}" for user in range(len(ranks))],
        "user_age_band": [_AGE_BANDS[band] for band in ranks * len(_AGE_BANDS) // len(ranks)],
        "user_city": [f"city_{city:02d}" for city in cities],
    }
    return pl.DataFrame(columns)


def _item_table(items: _Population, rng: Generator) -> pl.DataFrame:
    topics = _nearest_group(items.view, _TOPICS, rng)
    columns = {
        "item_id": _FIRST_ITEM_ID + np.arange(len(topics), dtype=np.int64),
        "item_topic": [f"topic_{topic:02d}" for topic in topics],
        "item_author": 1 + _nearest_group(items.view, _AUTHORS, rng),
        "item_seconds": np.ceil(60 * np.exp(0.5 * items.view[:, 0])).astype(np.int64),
    }
    return pl.DataFrame(columns)


def _nearest_group(view: Floats, groups: int, rng: Generator) -> Integers:
    directions = rng.standard_normal((view.shape[1], groups))
    directions /= np.linalg.norm(directions, axis=0)
    return np.asarray((view @ directions).argmax(axis=1))


def _draw_impressions(
    settings: SimulationSettings, users: _Population, items: _Population, rng: Generator
) -> pl.DataFrame:
    """Draw who (``user``) saw what (``item``), both as positions, and when, in order of time."""
    rows = settings.rows
    activity = 1 + 0.6 * _daily_wave(np.arange(24), peak=21)
    hours = rng.choice(24, rows, p=activity / activity.sum())
    hours += 24 * rng.integers(settings.days, size=rows)
    time = np.sort(hours * _HOUR_MS + rng.integers(_HOUR_MS, size=rows))
    columns = {
        "user": rng.choice(settings.users, rows, p=users.popularity),
        "item": rng.choice(settings.items, rows, p=items.popularity),
        "time_ms": _FIRST_MS + time,
        "hour": (time // _HOUR_MS % 24).astype(np.int8),
    }
    return pl.DataFrame(columns)


def _signals(
    settings: SimulationSettings, users: _Population, items: _Population, seen: pl.DataFrame
) -> Columns:
    """Return each target's logit, or log of its mean, before the bias."""
    part = np.sqrt((1 - settings.match_share) / 2)
    match = _FACTOR_DECAY ** np.arange(settings.latent_width)
    match *= np.sqrt(settings.match_share / (match**2).sum())
    who, what, hour = seen["user"].to_numpy(), seen["item"].to_numpy(), seen["hour"].to_numpy()
    pairs = {}
    for index, target in enumerate(TARGETS):
        user, item = users.factors[index][who], items.factors[index][what]
        pairs[target] = part * (user[:, 0] + item[:, 0])
        pairs[target] += np.einsum("rf,rf,f->r", user, item, match)
    pull = settings.like_from_play
    pairs["like"] = pull * pairs["play"] + (1 - pull) * pairs["like"]
    strength = dict.fromkeys(TARGETS, settings.seconds_strength)
    strength |= {"stop": settings.stop_strength, "click": settings.click_strength}
    strength["like"] = settings.like_strength
    return {
        target: strength[target] * pairs[target]
        + settings.hour_strength * _daily_wave(hour, peak=_PEAK_HOURS[target])
        for target in TARGETS
    }


def _true_expectations(settings: SimulationSettings, signals: Columns) -> Columns:
    stop = _probability(signals["stop"], settings.stop_rate, np.ones(settings.rows))
    dwell = _seconds(signals["dwell"], settings.dwell_seconds_given_stop, stop)
    click_given_stop = _probability(signals["click"], settings.click_rate_given_stop, stop)
    click = stop * click_given_stop
    play = _seconds(signals["play"], settings.play_seconds_given_click, click)
    like = _probability(signals["like"], settings.like_rate_given_click, click)
    return {
        "stop": stop,
        "dwell": stop * dwell + (1 - stop) * settings.glance_seconds,
        "dwell_given_stop": dwell,
        "click": click,
        "click_given_stop": click_given_stop,
        "play": click * play,
        "play_given_click": play,
        "like": click * like,
        "like_given_click": like,
    }


def _probability(signal: Floats, rate: float, reached: Floats) -> Floats:
    """Shift logits so that their mean probability is ``rate``, rows weighted by ``reached``."""
    step = -(-len(signal) // _BIAS_ROWS)
    sample, weights = signal[::step], reached[::step]
    goal = np.log(rate / (1 - rate))
    low, high = goal - sample.max(), goal - sample.min()
    for _ in range(30):
        bias = (low + high) / 2
        below = np.average(1 / (1 + np.exp(-bias - sample)), weights=weights) < rate
        low, high = (bias, high) if below else (low, bias)
    return np.asarray(1 / (1 + np.exp(-bias - signal)))


def _seconds(signal: Floats, mean: float, reached: Floats) -> Floats:
    """Scale so that the mean is ``mean`` seconds, rows weighted by ``reached``."""
    seconds = np.exp(signal)
    return np.asarray(seconds * (mean / np.average(seconds, weights=reached)))


def _draw_labels(settings: SimulationSettings, truth: Columns, rng: Generator) -> pl.DataFrame:
    chance = rng.random((3, settings.rows))
    stopped = chance[0] < truth["stop"]
    clicked = stopped & (chance[1] < truth["click_given_stop"])
    liked = clicked & (chance[2] < truth["like_given_click"])
    spread = settings.seconds_spread
    tail = np.exp(spread * rng.standard_normal((2, settings.rows)) - spread**2 / 2)
    dwell = np.where(stopped, truth["dwell_given_stop"], settings.glance_seconds)
    labels = {
        "stop": stopped.astype(np.int8),
        "dwell": dwell * tail[0],
        "click": clicked.astype(np.int8),
        "play": truth["play_given_click"] * tail[1],
        "like": liked.astype(np.int8),
    }
    reached = pl.when(pl.col("click") == 1)
    return pl.DataFrame(labels).with_columns(reached.then(pl.col("play", "like")))


def _auc(happened: pl.Series, score: pl.Series) -> float:
    """Chance that a row where it happened outranks one where it did not, ties counting half."""
    positives = int(happened.sum())
    pairs = positives * (len(happened) - positives)
    ranks = float(score.rank("average").filter(happened).sum())
    return (ranks - positives * (positives + 1) / 2) / pairs if pairs else float("nan")


def _daily_wave(hour: Integers, *, peak: int) -> Floats:
    return np.asarray(np.cos(2 * np.pi * (hour - peak) / 24))
