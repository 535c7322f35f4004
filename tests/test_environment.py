"""environment.yml, pyproject.toml and course.py ask for the same things."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"torch": "pytorch"}  # where conda-forge says it differently


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def environment() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def ranges(lines: list[str]) -> dict[str, SpecifierSet]:
    """Name -> range, for pyproject's requirements, by their names on conda-forge."""
    wanted = [Requirement(line) for line in lines]
    assert not any(each.extras or each.marker or each.url for each in wanted)
    return {CONDA_NAMES.get(each.name, each.name): each.specifier for each in wanted}


def test_conda_and_pip_install_the_same_names_and_ranges(project, environment) -> None:
    wanted = ranges(project["dependencies"]) | {
        "python": SpecifierSet(project["requires-python"]),
        "pip": SpecifierSet(),
    }
    lines = [line for line in environment["dependencies"] if isinstance(line, str)]
    parsed = [str(MatchSpec(line, strict=True)).partition(" ") for line in lines]
    assert len(parsed) == len(wanted)
    found = {name: SpecifierSet(versions) for name, _, versions in parsed}
    assert found == wanted


def test_conda_forge_is_the_only_channel(environment) -> None:
    assert environment["channels"] == ["conda-forge"]


def test_conda_installs_the_package_itself_by_pip_and_nothing_else(environment) -> None:
    assert environment["dependencies"][-1] == {"pip": ["-e ."]}


def test_names_are_spelt_as_registries_spell_them(project) -> None:
    every = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = [Requirement(line).name for line in every]
    assert names == [canonicalize_name(name) for name in names]
    assert len(set(names)) == len(names)


def test_the_torch_that_course_installs_is_in_pyprojects_range(project) -> None:
    source = (ROOT / "course.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^TORCH\b.*? = "([^"]+)"', source, re.M)
    specifier = ranges(project["dependencies"])["pytorch"]
    assert specifier.contains(version)
    assert specifier.contains(f"{version}+cpu")


def test_course_accepts_the_pythons_that_the_package_accepts(project) -> None:
    source = (ROOT / "course.py").read_text(encoding="utf-8")
    first, last = re.findall(r"\((3), (\d+)\)", source)
    accepted = SpecifierSet(project["requires-python"])
    assert accepted == SpecifierSet(f">=3.{first[1]},<3.{int(last[1]) + 1}")
