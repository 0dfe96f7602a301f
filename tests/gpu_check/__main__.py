"""Does a GPU do what was tested on CPUs? `make gpu-check`: at most twelve minutes, no network.

python -m gpu_check [--device cpu] [--out FOLDER] [PART ...]

Each part is a process that ends by itself or is ended, and says what it found; none hides the next.
`gpu-check.json` and `gpu-check.md` are written after each. A part whose packages are not here is
not run, and fails nothing: those of the learner alone take torch and transformers, also older
ones. On a CPU the same parts run at small sizes, to show that they can.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from gpu_check.page import page
from gpu_check.running import PARTS, Outcome, Part, run


def outcomes_of(parts: Sequence[Part], device: str, patience: float) -> Iterator[Outcome]:
    """One part after the other, each with its share of the time and what those before it left."""
    due = time.monotonic()
    with TemporaryDirectory() as folder:
        for part in parts:
            due += patience * part.share
            yield run(part, device, Path(folder), due - time.monotonic())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--patience", type=float, default=1.0, metavar="TIMES", help="the twelve minutes"
    )
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="FOLDER")
    names = [part.module for part in PARTS]
    parser.add_argument("parts", nargs="*", choices=[*names, []], metavar="PART", default=[])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    parts = [part for part in PARTS if not asked.parts or part.module in asked.parts]
    done: list[Outcome] = []
    for one in outcomes_of(parts, asked.device, asked.patience):
        done.append(one)
        print(f"{len(done)}/{len(parts)} {one.part}: {one.verdict}: {one.said}", flush=True)
        document = {"device": asked.device, "parts": [asdict(one) for one in done]}
        (asked.out / "gpu-check.json").write_text(json.dumps(document, indent=1) + "\n")
        (asked.out / "gpu-check.md").write_text(page(done, asked.device))
    print(f"see {asked.out / 'gpu-check.md'}")
    return 1 if any(one.verdict == "FAIL" for one in done) else 0


if __name__ == "__main__":
    sys.exit(main())
