"""The lines of names.py as records."""

from __future__ import annotations

import ast
from collections.abc import Mapping
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
    return [
        name_in(statement, user)
        for user, lines in relied_on.items()
        for statement in ast.parse(lines).body
    ]


def name_in(statement: ast.stmt, user: str) -> Name:
    assert isinstance(statement, ast.Expr)
    line, hands_to = statement.value, ""
    if isinstance(line, ast.BinOp):
        line, hands_to = line.left, ast.unparse(line.right)
    if not isinstance(line, ast.Call):
        return Name(path=ast.unparse(line), user=user)
    options = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in line.keywords}
    left_out = {name: value for name, value in options.items() if value is not ...}
    call = Call(
        by_position=tuple(ast.unparse(argument) for argument in line.args),
        by_name=frozenset(options.keys() - left_out.keys()),
        left_out=left_out,
        hands_to=hands_to,
    )
    return Name(path=ast.unparse(line.func), user=user, call=call)
