"""Every benchmark beside this file, one after the other; their figures go into `results.json`.

    make bench

A benchmark is a script that prints its figures as one line of JSON, and its progress to stderr. In
`results.json` they stand under the script's name. One that fails ends all, with its exit code.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run them all, then write."""
    figures = {}
    for script in sorted(HERE.glob("*.py")):
        if script == Path(__file__).resolve():
            continue
        print(f"benchmark: {script.stem}", file=sys.stderr, flush=True)
        finished = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, check=False)
        if finished.returncode:
            return finished.returncode
        figures[script.stem] = json.loads(finished.stdout)
    results = HERE / "results.json"
    results.write_text(json.dumps(figures, indent=2) + "\n")
    print(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
