from typing import Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from trimtab.errors import InputError, SettingsError
from trimtab.registry import Registry
from trimtab.settings import Settings
from trimtab.targets import targets
from trimtab.trunks import trunks


def two_parts() -> Registry[Settings]:
    parts: Registry[Settings] = Registry("parts")

    @parts.register("wheel")
    class Wheel(Settings):
        kind: Literal["wheel"] = "wheel"
        spokes: int = 32

    @parts.register("frame")
    class Frame(Settings):
        kind: Literal["frame"] = "frame"

    return parts


def test_a_part_is_found_by_its_kind() -> None:
    parts = two_parts()
    assert parts["wheel"].__name__ == "Wheel"
    assert list(parts) == ["frame", "wheel"]


def test_registering_returns_the_class_itself() -> None:
    parts: Registry[Settings] = Registry("parts")
    assert parts.register("base")(Settings) is Settings


def test_a_kind_is_registered_once() -> None:
    parts = two_parts()
    wheel = parts["wheel"]
    with pytest.raises(ValueError, match="'wheel' is already"):
        parts.register("wheel")(Settings)
    assert parts["wheel"] is wheel


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"parts: no kind 'weel'\. Did you mean 'wheel'\?"):
        two_parts()["weel"]


def test_an_unknown_kind_like_none_names_them_all() -> None:
    with pytest.raises(SettingsError, match=r"no kind 'qqq'\. Known: frame, wheel\."):
        two_parts()["qqq"]


def test_an_unknown_kind_among_none() -> None:
    with pytest.raises(SettingsError, match="There are none"):
        Registry[Settings]("parts")["wheel"]


def test_an_unknown_kind_is_the_users_doing() -> None:
    assert issubclass(SettingsError, InputError)
    assert InputError.exit_code == 2


def test_the_union_tells_parts_apart_by_kind() -> None:
    parts = two_parts()
    any_part: TypeAdapter[Settings] = TypeAdapter(parts.union())
    assert any_part.validate_python({"kind": "wheel", "spokes": 28}) == parts["wheel"](spokes=28)
    assert any_part.validate_python("frame") == parts["frame"]()
    for wrong in ("weel", {"spokes": 28}, {"kind": "frame", "spokes": 28}, 3):
        with pytest.raises(ValidationError):
            any_part.validate_python(wrong)


def test_the_union_of_one_part() -> None:
    parts: Registry[Settings] = Registry("parts")

    @parts.register("only")
    class Only(Settings):
        kind: Literal["only"] = "only"

    assert TypeAdapter(parts.union()).validate_python("only") == Only()


@pytest.mark.parametrize("registry", [targets, trunks], ids=lambda r: r.group)
def test_a_registered_kind_is_the_kind_of_its_settings(registry: Registry[Settings]) -> None:
    for kind in registry:
        assert registry[kind].model_fields["kind"].default == kind


def test_first_kinds_are_there() -> None:
    assert set(targets) >= {"binary", "number", "duration", "blend"}
    assert set(trunks) >= {"shared_bottom"}
