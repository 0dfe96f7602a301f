"""The child that a function of the user's pays in, group after group.

python -m videothinker.method.called FILE FUNCTION MEMORY_GB
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from videothinker import child
from videothinker.types import Question

WHOLE = "completions"
"""What a function calls its first argument that is given a group's completions at once."""
ASKED = f"(completion, question), or ({WHOLE}, question) for all of a group at once"


class Unfit(Exception):
    """What is wrong with a function, or with what it pays."""


def load(file: Path, name: str) -> Callable[..., Any]:
    """The function of this name; the folder of its file is searched for what it imports last."""
    sys.path.append(str(file.parent))
    sys.dont_write_bytecode = True  # a folder of the user's, in which nothing is to be left
    spec = spec_from_file_location(f"rewards_in_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file may
        raise Unfit(told(error, file)) from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if function is None or not callable(function):
        here = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        has = f"; it has {', '.join(here)}" if here else ""
        raise Unfit(f"there is no function {name}{has}")
    try:
        inspect.signature(function).bind("", None)
    except (TypeError, ValueError) as error:
        raise Unfit(f"it does not take {ASKED}") from error
    return function


def is_whole(function: Callable[..., Any]) -> bool:
    """Whether it is given a group's completions at once."""
    return next(iter(inspect.signature(function).parameters)) == WHOLE


async def paid(
    function: Callable[..., Any], completions: Sequence[str], question: Question
) -> list[float]:
    """What each completion earns, whether it is paid with the others or alone, now or later."""
    if is_whole(function):
        values = function(list(completions), question)
        values = await values if inspect.isawaitable(values) else values
    else:
        values = [function(one, question) for one in completions]
        later = [place for place, value in enumerate(values) if inspect.isawaitable(value)]
        for place, value in zip(
            later, await asyncio.gather(*(values[place] for place in later)), strict=True
        ):
            values[place] = value
    if not hasattr(values, "__len__") or isinstance(values, str | dict):
        raise Unfit(
            f"it paid {values!r:.60} for a group; a list of {len(completions)} is asked for"
        )
    if len(values) != len(completions):
        raise Unfit(f"it paid {len(values)} values for {len(completions)} completions")
    return [number(value, place) for place, value in enumerate(values, start=1)]


def number(value: Any, place: int) -> float:
    """A finite number, of whatever library."""
    try:
        if isinstance(value, str):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError):
        raise Unfit(
            f"it paid {value!r:.60} for completion {place}; a number is asked for"
        ) from None
    if not math.isfinite(found):
        raise Unfit(f"it paid {found} for completion {place}; rewards are finite")
    return found


def told(error: BaseException, file: Path) -> str:
    """An exception in one line, with the last line of the user's file that led to it."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == file
    ]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    where = f" (line {lines[-1]})" if lines else ""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if said else ''}{said:.200}{where}"


def main() -> None:
    """Load the function, and serve."""
    file, name, memory_gb = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    try:
        function = load(file, name)
    except Unfit as error:
        sys.exit(str(error))
    with asyncio.Runner() as runner:

        def answer(request: dict[str, Any]) -> child.Pieces:
            asked = request["question"]
            asked["options"] = tuple((letter, text) for letter, text in asked["options"])
            asked["also"] = tuple(asked["also"])
            question = Question(**asked)
            try:
                values = runner.run(paid(function, request["completions"], question))
                said: dict[str, Any] = {"paid": values}
            except Unfit as error:
                said = {"error": str(error)}
            except MemoryError as error:
                said = {"error": f"{told(error, file)}: it may take {memory_gb:g} GB (memory_gb)"}
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a user's function may
                said = {"error": told(error, file)}
            return [json.dumps(said).encode() + b"\n"]

        child.serve(answer, int(memory_gb * 2**30))


if __name__ == "__main__":
    main()
