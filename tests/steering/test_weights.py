import pytest

from trimtab.errors import InputError
from trimtab.steering.weights import parse_weights

UNITS = {"click": "", "like": "", "play": "ms"}
SCENES = ("stream", "cover")


def test_targets_units_and_scenes() -> None:
    formula = parse_weights("click=1, play/min=0.5,cover.like=2", UNITS, SCENES)
    assert formula.weights["click"].weight == 1
    assert formula.weights["play"].per == "min"
    assert formula.scenes["cover"]["like"].weight == 2


def test_scenes_alone() -> None:
    formula = parse_weights("cover.like=2", UNITS, SCENES)
    assert formula.weights["like"].weight == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clik=1", "no target named 'clik'"),
        ("click=nan", "'click=nan'; expected TARGET=NUMBER"),
        ("click=inf", "'click=inf'"),
        ("click", "'click'; expected"),
        ("=1", "'=1'; expected"),
        ("", "''; expected"),
        ("click=1,click=2", "'click' is given twice"),
        ("click=0,like=0", "every weight is 0"),
        ("stage.click=1", "no scene named 'stage'"),
        ("like/min=1", "no unit of time"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_weights(text, UNITS, SCENES)
