"""The house: how many files a folder has, and that a name means one thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("videothinker", "actors", "learner", "cluster")
MODULES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
FOLDERS = sorted({file.parent for file in MODULES})

SAME_NAME: dict[str, str] = {}
"""Class names that two modules may share, each with the reason."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_top_of_videothinker_is_ten_files_and_of_cluster_two() -> None:
    assert len(list((ROOT / "videothinker").glob("*.py"))) <= 10
    assert sorted(file.name for file in (ROOT / "cluster").glob("*.py")) == [
        "__init__.py",
        "train.py",
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_has_at_most_twelve_modules_and_says_what_it_is_for(folder: Path) -> None:
    assert len([file for file in folder.glob("*.py") if file.name != "__init__.py"]) <= 12
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert said


def classes(file: Path) -> Iterator[str]:
    """Classes of a module, and names that stand for a type."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            yield from (name for name in names if name[0].isupper() and not name.isupper())


def test_a_class_name_is_defined_in_one_module() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for file in MODULES:
        for name in classes(file):
            if len(name) > 1:  # T is a type variable everywhere
                where[name].append(name_of(file))
    doubled = {name: files for name, files in where.items() if len(files) > 1}
    assert {name: files for name, files in doubled.items() if name not in SAME_NAME} == {}
    assert {*SAME_NAME} <= {*doubled}, "a reason without a doubled name"


FAMILIES = re.compile(r"qwen|llava", re.IGNORECASE)
NO_FAMILY = re.compile(r"qwen-vl-utils|qwen_vl_utils|vision_process")
"""The library that chooses and sizes frames."""
ALLOWED = {"videothinker/evaluation/compare.py": "published figures"}


def test_no_family_of_models_is_named_outside_its_file() -> None:
    """Everything else asks the family."""
    named = []
    for file in MODULES:
        place = file.relative_to(ROOT).as_posix()
        if place.startswith(("videothinker/mini/", "videothinker/model/families/")):
            continue
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            if FAMILIES.search(NO_FAMILY.sub("", line)) and place not in ALLOWED:
                named.append(f"{place}:{number}: {line.strip()}")
    assert named == []


def test_no_file_has_what_a_merge_leaves_where_two_disagree() -> None:
    left = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    kinds = {".md", ".py", ".yaml", ".toml"}
    folders = [ROOT / name for name in (*PACKAGES, "configs", "docs", "tests")]
    files = [file for folder in folders for file in folder.rglob("*") if file.suffix in kinds]
    files += [file for file in ROOT.iterdir() if file.suffix in kinds]
    assert len(files) > 500
    assert [name_of(file) for file in files if left.search(file.read_text())] == []
