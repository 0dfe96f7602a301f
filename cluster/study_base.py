"""One base model of a study, warm-started in a process of its own.

python -m cluster.study_base FOLDER SEED BUDGET_JSON
"""

from __future__ import annotations

import sys
from pathlib import Path

from cluster.quickstart import warm_base
from videothinker import cpu_torch
from videothinker.budget import Budget


def main(folder: str, seed: str, budget: str) -> None:
    """As `videothinker quickstart` makes its own."""
    cpu_torch.install()
    warm_base(Path(folder), int(seed), Budget.model_validate_json(budget))


if __name__ == "__main__":
    main(*sys.argv[1:])
