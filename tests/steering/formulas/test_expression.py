import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.steering.candidates import Candidates
from trimtab.steering.formulas.base import parse


def value(rows: Candidates, text: str) -> np.ndarray:
    formula = parse({"kind": "expression", "text": text}, "profile")
    formula.require(rows.units, rows.scenes)
    return formula.score(rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("click + 2 * like", lambda c, k, p: c + 2 * k),
        ("(click + 2) * like", lambda c, k, p: (c + 2) * k),
        ("click - like - 1", lambda c, k, p: c - k - 1),
        ("click / 2 / 4", lambda c, k, p: c / 8),
        ("-click ^ 2", lambda c, k, p: -(c**2)),
        ("2 ^ 3 ^ click", lambda c, k, p: 2 ** (3**c)),
        ("click ^ -1", lambda c, k, p: 1 / c),
        ("--click", lambda c, k, p: c),
        (".5e1 * click", lambda c, k, p: 5 * c),
        ("if(click > 0.3, like, -1)", lambda c, k, p: np.where(c > 0.3, k, -1)),
        ("(click >= 0.3) + (click < .3)", lambda c, k, p: np.ones(6)),
        ("log1p(play) + sqrt(click)", lambda c, k, p: np.log1p(p) + np.sqrt(c)),
        (
            "min(click, like) + max(click, 0.2)",
            lambda c, k, p: np.minimum(c, k) + np.maximum(c, 0.2),
        ),
        ("clip(click, 0.2, 0.4)", lambda c, k, p: np.clip(c, 0.2, 0.4)),
        ("exp(log(click)) * abs(-1)", lambda c, k, p: c),
        ("scene.cover * like + click", lambda c, k, p: np.array([0, 0, 1, 1, 0, 0]) * k + c),
    ],
)
def test_value(rows: Candidates, text: str, expected: object) -> None:
    predictions = (rows.prediction(name) for name in ("click", "like", "play"))
    np.testing.assert_allclose(value(rows, text), expected(*predictions))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("click +", "found the end at character 8; expected a number"),
        ("click click", "found 'click' at character 7; expected an operator"),
        ("(click", r"expected \)"),
        ("click ** 2", r"found '\*' at character 8"),
        ("click @ 2", "found '@' at character 7"),
        ("__import__('os')", "found '_' at character 1"),
        ("open(click)", "found 'open' at character 1; expected one of the functions"),
        ("log(click, 2)", "1 arguments of log, not 2"),
        ("click.real", "no target named 'click.real'"),
        ("clik", "no target named 'clik'"),
        ("scene.stage", "no scene named 'stage'"),
        ("3", "names no target"),
        ("(" * 80 + "click" + ")" * 80, "50 deep"),
        ("^".join(["click"] * 200), "words"),
        ("click / like", "gives inf in row 5"),
        ("log(like)", "gives -inf in row 5 .*like 0"),
        ("0 / (click - click)", "gives nan in row 0"),
        ("(0 - click) ^ 0.5", "gives nan"),
        ("exp(play)", "gives inf"),
    ],
)
def test_refused(rows: Candidates, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        value(rows, text)
