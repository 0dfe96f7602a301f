"""How a contestant and whoever holds the clock talk: a line each way for each turn.

A contestant prepares everything that is not to be timed, calls `wait`, works, and calls `done`.
Only the program that says go looks at a clock, and it says go to one contestant at a time.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


class Turns:
    """The contestant's end. Whatever libraries print goes to stderr from now on."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def wait(self) -> None:
        """Until it is this contestant's turn; there is none left when nobody says go any more."""
        self._say({"ready": True})
        if not sys.stdin.readline():
            raise SystemExit(0)

    def done(self, **found: Any) -> None:
        """The turn is over; `found` is what it came to."""
        self._say(found)

    def _say(self, content: dict[str, Any]) -> None:
        print(json.dumps(content), file=self._answers, flush=True)
