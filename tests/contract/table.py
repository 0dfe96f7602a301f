"""The lines of names.py as records."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract.names import RELIED_ON


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """One name that a file of ours relies on."""

    path: str
    user: str
    call: Call | None = None
    """None: it only has to be there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """How it is called."""

    by_position: tuple[str, ...]
    by_name: frozenset[str]
    left_out: Mapping[str, Any]
    """What we do not give, with the defaults that we trust in."""
    hands_to: str
    """Who gets what it does not name itself."""

    @property
    def given(self) -> frozenset[str]:
        return self.by_name.union(self.by_position)


def table(relied_on: Mapping[str, str] = RELIED_ON) -> list[Name]:
    """All names, in the order of the lines."""
    return [name for user, lines in relied_on.items() for name in names_in(lines, user)]


def names_in(lines: str, user: str) -> Iterator[Name]:
    short: dict[str, str] = {}
    for statement in ast.parse(lines).body:
        if isinstance(statement, ast.Assign):
            short[ast.unparse(statement.targets[0])] = ast.unparse(statement.value)
            continue
        assert isinstance(statement, ast.Expr)
        line, hands_to = statement.value, ""
        if isinstance(line, ast.BinOp):
            line, hands_to = line.left, ast.unparse(line.right)
        call = call_in(line, hands_to) if isinstance(line, ast.Call) else None
        path = ast.unparse(line.func if isinstance(line, ast.Call) else line)
        first, dot, rest = path.partition(".")
        yield Name(path=f"{short.get(first, first)}{dot}{rest}", user=user, call=call)


def call_in(line: ast.Call, hands_to: str) -> Call:
    options = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in line.keywords}
    left_out = {name: value for name, value in options.items() if value is not ...}
    return Call(
        by_position=tuple(ast.unparse(argument) for argument in line.args),
        by_name=frozenset(options.keys() - left_out.keys()),
        left_out=left_out,
        hands_to=hands_to,
    )
