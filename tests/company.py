"""Which tests run in one process, one after the other, and which beside them."""

from __future__ import annotations

from pathlib import Path

WITHOUT_RAY = (
    *("test_families.py", "test_other_families.py", "test_words.py", "test_engine.py"),
    *("test_adapters.py", "test_learner.py", "test_learner_adapters.py"),
    *("test_learner_updates.py", "test_every_token.py", "test_shared_prefix.py"),
    *("test_anchor.py", "test_memory.py", "test_host_adam.py", "test_in_flight.py"),
    *("test_contract.py", "test_damaged_videos.py", "test_report_in_browser.py", "test_judge.py"),
)
"""Integration tests whose engines and ranks are in their own process, or started by it."""


def company(test: str) -> str:
    """Tests of the same name share a process: all of a file, and all that starts Ray."""
    file = test.split("::", 1)[0]
    place = Path(file)
    together = "integration" in place.parts and place.name not in WITHOUT_RAY
    return "engines" if together else file
