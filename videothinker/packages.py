"""Our version, where our packages lie, and whether somebody else claims one of their names."""

from __future__ import annotations

from pathlib import Path

VERSION = "0.1.0"
ROOT = Path(__file__).parents[1]
OWN_NAMES = ("videothinker", "actors", "learner", "cluster")


def foreign_owners() -> dict[str, list[str]]:
    """Our top-level names that another distribution claims too.

    Asked of the distributions, since one that overwrote our files would pass a check of paths.
    """
    from importlib import metadata  # slow, and hardly ever needed

    owners = metadata.packages_distributions()
    foreign = {name: sorted({*owners.get(name, [])} - {"videothinker"}) for name in OWN_NAMES}
    return {name: others for name, others in foreign.items() if others}
