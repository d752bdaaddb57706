"""The docs say what is."""

import json
import re
import tomllib
from pathlib import Path

import pytest

import trimtab
from trimtab.cli import app
from trimtab.config.load import load, parse
from trimtab.config.reference import page
from trimtab.steering.formulas import formulas
from trimtab.steering.formulas.base import parse as parse_formula

ROOT = Path(__file__).parents[2]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_page_of_settings_is_up_to_date() -> None:
    assert (ROOT / "docs" / "run-file.md").read_text(encoding="utf-8") == page(), (
        "run: python -m trimtab.config.reference > docs/run-file.md"
    )


def test_the_page_of_settings_has_a_link_to_every_table() -> None:
    contents, _, rest = page().partition("## ")
    headings = re.findall(r"^## (.*)$", f"## {rest}", flags=re.MULTILINE)
    places = [re.sub(r"[`,\[\]]", "", h).lower().replace(" ", "-") for h in headings]
    assert re.findall(r"\(#([^)]*)\)", contents) == places
    assert len(set(places)) == len(places)
    tables = list(dict.fromkeys(heading.split("`")[1] for heading in headings))
    first = ["[data]", "[features]", "[scenes]", "[targets]", "head", "of", "[training]"]
    assert tables[: len(first)] == first
    assert tables[-2:] == ["[trunk]", "[balancing]"]
    assert "Settings" not in re.sub(r"`[^`]*`", "", rest)  # No names of classes.


def test_the_run_files_of_the_readme_are_valid() -> None:
    first, *others = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "toml")
    whole = tomllib.loads(first)
    assert set(parse(whole).targets) == {"click", "long_view", "like", "play"}
    for block in others:
        parse(whole | tomllib.loads(block))


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/*.toml")), ids=lambda p: p.stem)
def test_the_run_files_of_the_examples_are_valid(path: Path) -> None:
    load(path)


def test_the_formulas_of_the_page_on_steering_fit_the_example() -> None:
    settings = load(ROOT / "examples" / "kuairand" / "run.toml")
    units = {name: getattr(target, "unit", "") for name, target in settings.targets.items()}
    text = (ROOT / "docs" / "steering.md").read_text(encoding="utf-8")
    found = [parse_formula(json.loads(block), "steering.md") for block in blocks(text, "json")]
    assert sorted(formula.kind for formula in found) == list(formulas)
    for formula in found:
        formula.require(units, ("cover", "stream", "other"))


def test_every_command_is_in_the_readme_and_has_help() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__
        name = command.name or command.callback.__name__
        assert f"trimtab {name}" in readme or f"make {name}" in readme


def test_every_public_name_exists() -> None:
    assert [name for name in trimtab.__all__ if not hasattr(trimtab, name)] == []
    assert trimtab.__all__ == sorted(trimtab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = trimtab.nothing


def test_links_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path}: {target}"
