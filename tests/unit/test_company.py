"""Whoever is said to start no Ray can start none."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from company import WITHOUT_RAY, company

INTEGRATION = Path(__file__).parents[1] / "integration"
STARTERS = (
    *("ray", "cluster.start", "cluster.train", "cluster.verbs", "cluster.workers"),
    *("cli_process", "documented", "two_engines", "same_engines"),
)
"""Modules by which a test starts Ray, itself or through a command."""
FIXTURES = ("fleet", "by_host")


def starters(file: Path) -> set[str]:
    """What a file of tests has that starts Ray."""
    names = set[str]()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
        elif isinstance(node, ast.arg) and node.arg in FIXTURES:
            names.add(node.arg)
    within = (*STARTERS, *FIXTURES)
    return {name for name in names for one in within if f"{name}.".startswith(f"{one}.")}


@pytest.mark.parametrize("name", WITHOUT_RAY)
def test_who_is_said_to_start_no_ray_has_nothing_that_does(name: str) -> None:
    assert starters(INTEGRATION / name) == set()


def test_all_that_starts_ray_is_in_one_process_and_a_file_is_never_divided() -> None:
    files = [file.name for file in INTEGRATION.glob("test_*.py")]
    places = {company(f"tests/integration/{name}::test_it") for name in files}
    assert len(places) == len(WITHOUT_RAY) + 1
    assert company("tests/unit/test_a.py::test_b[c::d]") == "tests/unit/test_a.py"
