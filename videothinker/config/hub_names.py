"""Models that are named as the Hub names them: owner/name, or owner/name@revision.

A folder of that name here comes first, always; `./owner/name` is never asked of the Hub.
"""

from __future__ import annotations

import re
from pathlib import Path

PART = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
NAME = re.compile(rf"(?P<repository>(?P<owner>{PART})/{PART})(?:@(?P<revision>[A-Za-z0-9_./-]+))?")
NO_OWNERS = ("models", "datasets", "spaces")
"""Pages of the Hub's own, so that models/NAME can only be a folder."""
DEFAULT_REVISION = "main"


def is_hub_name(text: str) -> bool:
    """Whether a model's place is the Hub: it is written so, and nothing here is called that."""
    found = NAME.fullmatch(text)
    if found is None or found["owner"] in NO_OWNERS:
        return False
    return not Path(text).exists()


def model_place(given: object) -> object:
    """A Hub's name as it is, any other path made absolute: what is relative is a Hub's name."""
    if not isinstance(given, str | Path) or is_hub_name(str(given)):
        return given
    return Path(given).expanduser().absolute()


def name_parts(name: str) -> tuple[str, str]:
    """Repository and revision."""
    found = NAME.fullmatch(name)
    assert found, name
    return found["repository"], found["revision"] or DEFAULT_REVISION


def hub_source(folder: Path) -> str | None:
    """The name, with its commit, of what lies in a folder of the Hub's cache; None elsewhere."""
    kind, _, repository = folder.parent.parent.name.partition("--")
    if folder.parent.name != "snapshots" or kind != "models" or "--" not in repository:
        return None
    return f"{repository.replace('--', '/')}@{folder.name}"
