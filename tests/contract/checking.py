"""What of a table does not hold in this environment."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from inspect import Parameter
from typing import Any

from contract.table import Call, Name

BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Absent(Exception):
    """With what is not there."""


def faults(names: Iterable[Name]) -> list[str]:
    """A sentence for each thing that is not as the names say."""
    return [f"{name.user}: {fault}" for name in names for fault in faults_of(name)]


def faults_of(name: Name) -> Iterator[str]:
    try:
        found = resolve(name.path)
        if name.call is not None:
            yield from call_faults(name.path, found, name.call)
    except Absent as absent:
        yield str(absent)


def resolve(path: str) -> Any:
    """What a dotted path leads to; None where only instances have it."""
    first, *rest = path.split(".")
    found = module(first, path)
    while rest:
        attribute = rest.pop(0)
        if hasattr(found, attribute):
            found = getattr(found, attribute)
        elif inspect.ismodule(found):
            found = module(f"{found.__name__}.{attribute}", path)
        elif inspect.isclass(found) and attribute in kept_by(found) and not rest:
            return None
        else:
            raise Absent(f"{path} is not there")
    return found


def module(name: str, path: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise Absent(f"{path} is not there ({error})") from error


@cache
def kept_by(kind: type) -> set[str]:
    """What instances of a class have: what it declares, and what its code assigns to."""
    kept = {name for base in kind.__mro__ for name in inspect.get_annotations(base)}
    for base in kind.__mro__:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):  # not Python's
            continue
        stored = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
        kept |= {node.attr for node in stored if isinstance(node.ctx, ast.Store)}
    return kept


def call_faults(path: str, function: Any, call: Call) -> Iterator[str]:
    """What a call of this form would meet."""
    own = parameters(function)
    further = parameters(resolve(call.hands_to)) if call.hands_to else {}
    known = {name: one for name, one in {**own, **further}.items() if one.kind not in REST}
    known |= {name: one for name, one in own.items() if one.kind not in REST}
    first = tuple(name for name, one in known.items() if one.kind in BY_POSITION)
    if first[: len(call.by_position)] != call.by_position:
        yield f"{path} begins with {first}, and we give {call.by_position}"
    takes_any = not further and any(one.kind is Parameter.VAR_KEYWORD for one in own.values())
    for name in sorted(call.by_name | call.left_out.keys()):
        if name in known and known[name].kind in BY_NAME:
            default, trusted = known[name].default, call.left_out.get(name, ...)
            if trusted not in (..., default):
                yield f"{path} has {name}={default!r}, and we trust in {trusted!r}"
        elif not (takes_any and spelled(name, function)):
            yield f"{path} takes no {name}"
    for name, one in known.items():
        if one.default is Parameter.empty and name not in call.given:
            yield f"{path} asks for {name}, which we do not give"


def parameters(function: Any) -> dict[str, Parameter]:
    """Those that a caller may give."""
    try:
        found = dict(inspect.signature(undecorated(function)).parameters)
    except ValueError:
        found = documented(function)
    found.pop("self", None)
    return found


def undecorated(function: Any) -> Any:
    """What a decorator wrapped without saying so."""
    for cell in getattr(function, "__closure__", None) or ():
        if inspect.isfunction(cell.cell_contents):
            return cell.cell_contents
    return function


def documented(function: Any) -> dict[str, Parameter]:
    """By its words: a function that is not Python's begins them with `name(one: type = value)`."""
    said = function.__init__.__doc__ if inspect.isclass(function) else function.__doc__
    pairs = re.findall(r"(\w+): [^,=]+(?:= ([^,]+))?", (said or "").partition("\n")[0])
    kind = Parameter.POSITIONAL_OR_KEYWORD
    return {name: Parameter(name, kind, default=value or Parameter.empty) for name, value in pairs}


def spelled(name: str, function: Any) -> bool:
    """Whether a function with `**options` takes one of this name out of them."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Constant) and node.value == name for node in ast.walk(tree))
