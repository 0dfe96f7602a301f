"""What our files use of other packages, read off their syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """One place where a name of another package stands."""

    path: str
    by_position: int = 0
    by_name: frozenset[str] = frozenset()
    """What a call gives it, as far as that stands there; of `*these` and `**those` nothing does."""


def uses(source: str, packages: tuple[str, ...]) -> Iterator[Use]:
    """Every use of these packages in a file, imports among them."""
    tree = ast.parse(source)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for scope in (tree, *(node for node in ast.walk(tree) if isinstance(node, FUNCTION))):
        known = dict(imported(scope, packages))
        yield from (Use(path=path) for path in known.values())
        for node in ast.walk(scope):
            first, _, rest = spelling(node).partition(".")
            if id(node) not in inner and first in known:
                path, call = f"{known[first]}.{rest}".rstrip("."), calls.get(id(node))
                yield Use(path=path) if call is None else use_by(call, path)


def imported(scope: ast.AST, packages: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Names that a scope's own imports bind, and what each is."""
    for node in ast.iter_child_nodes(scope):
        found: list[tuple[str, str]] = []
        if isinstance(node, ast.Import):
            found = [(one.asname or one.name.split(".")[0], one.name) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [(one.asname or one.name, f"{node.module}.{one.name}") for one in node.names]
        elif not isinstance(node, FUNCTION):
            yield from imported(node, packages)
        yield from (pair for pair in found if pair[1].split(".")[0] in packages)


def spelling(node: ast.AST) -> str:
    """`a.b.c`, or nothing where it is no such thing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = spelling(node.value)
        return before and f"{before}.{node.attr}"
    return ""


def use_by(call: ast.Call, path: str) -> Use:
    given = [one for one in call.args if not isinstance(one, ast.Starred)]
    names = frozenset(keyword.arg for keyword in call.keywords if keyword.arg)
    return Use(path=path, by_position=len(given), by_name=names)


def files(*patterns: str) -> list[str]:
    """Ours, as paths from the root."""
    found = [path for pattern in patterns for path in ROOT.glob(pattern)]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)
