"""What Python's json takes, or stumbles over, and no file of ours may hold."""

from __future__ import annotations

import json
import re
from typing import TypeVar

from videothinker.errors import InputError

T = TypeVar("T")
HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""How JSON writes half of a character down; two of them may be a whole one."""


def unusual(error: Exception) -> str:
    """The reason, for a person, of an error that json raises and does not call a mistake."""
    if isinstance(error, RecursionError):
        return "nested too deeply to be records"
    return f"not a value that can be read ({error})"


def whole_characters(value: T, text: str, where: str) -> T:
    """The value of a JSON text; InputError for half a character in it, which no file can hold.

    It would fail much later, wherever it is written.
    """
    if not HALF.search(text):
        return value
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"{ord(error.object[error.start]):04x}"
        raise InputError(
            f"{where}: half a character (\\u{half}) in a text. Write it whole, or leave it out."
        ) from error
    return value
