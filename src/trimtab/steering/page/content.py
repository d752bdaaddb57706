"""What the page starts from: numbers and names, as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.evaluation.charts import COLOURS
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas import Additive
from trimtab.steering.page.front import tried
from trimtab.steering.page.sample import Sample
from trimtab.steering.page.terms import EVERYWHERE, Term, Terms, factors

ROWS = 20_000
"""Most rows that the page carries and measures."""

TOP = 10
"""Places of a list that NDCG looks at, and most that count as the first ones."""

_LISTS = 8
_WEIGHTINGS = 400
_UNITS = {"ms": "a millisecond", "s": "a second", "min": "a minute", "h": "an hour"}


def content(
    candidates: Candidates,
    now: Additive,
    start: Additive,
    profiles: Mapping[str, Additive],
    items: Sequence[str] | None,
) -> dict[str, Any]:
    """Return what the page computes with; the same arguments give the same."""
    terms = Terms(candidates, [now, start, *profiles.values()])
    sample = Sample.of(candidates, terms.targets, ROWS)
    state = terms.state(now)
    predicted = dict.fromkeys(name for key in terms.keys for name in factors(key))
    labelled = [name for name in predicted if name in candidates.labels]
    # Where lists are short, almost all of a list is in its first ten.
    first = int(np.clip(np.median(np.diff(sample.starts)) // 3, 1, TOP))
    return {
        "top": TOP,
        "first": first,
        "colours": COLOURS,
        "scenes": list(candidates.scenes) or [""],  # With stages, none tells rows apart.
        "keys": [_key(terms, slot) for slot in range(len(terms.keys))],
        "targets": terms.targets,
        "terms": [_term(terms, term) for term in terms.terms],
        "now": state,
        "start": terms.state(start),
        "profiles": {name: terms.state(formula) for name, formula in profiles.items()},
        "sample": sample.packed(predicted, labelled),
        "tried": tried(sample, terms, state, count=_WEIGHTINGS).json(),
        "lists": sample.lists(terms.targets, _LISTS, items),
    }


def _key(terms: Terms, slot: int) -> dict[str, Any]:
    """Return how the page computes a key's columns, and in what unit its prediction is."""
    key = terms.keys[slot]
    return {
        "name": key,
        "slot": slot,
        "factors": factors(key),
        "factor": terms.factor(key),
        "unit": terms.candidates.units.get(key, ""),
    }


def _term(terms: Terms, term: Term) -> dict[str, Any]:
    everywhere = term.scene == EVERYWHERE
    return {
        "key": term.key,
        "slot": terms.keys.index(term.key),
        "scene": None if everywhere else terms.candidates.scenes.index(term.scene),
        "where": term.scene,
        "per": term.per,
        "unit": _UNITS.get(term.per or "", "each"),
        "anchor": term.anchor,
    }
