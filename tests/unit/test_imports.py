import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "ray", "vllm", "deepspeed", "transformers"}


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(finished.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "videothinker.config.settings",
        "videothinker.config.loading",
        "videothinker.types",
        "videothinker.errors",
        "videothinker.cli.main",
        "videothinker.cli.doctor",
    ],
)
def test_module_loads_none_of_the_large_packages(module: str) -> None:
    assert not loaded_by(f"import {module}") & HEAVY


@pytest.mark.parametrize(
    "words", [["train", "configs/paper.yaml"], ["study", "configs/study.yaml"]]
)
def test_dry_run_loads_none_of_the_large_packages(words: list[str]) -> None:
    statement = (
        "import contextlib, io\n"
        "from videothinker.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    assert main({[*words, '--dry-run']}) == 0\n"
    )
    assert not loaded_by(statement) & HEAVY


def test_help_that_names_every_kind_loads_none_of_the_large_packages() -> None:
    statement = (
        "import contextlib, io\n"
        "from videothinker.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['probe', '--help'])\n"
    )
    assert not loaded_by(statement) & HEAVY


def test_what_is_called_most_comes_from_its_package_and_the_rewards_without_torch() -> None:
    statement = (
        "from videothinker.method import format_reward, soft_accuracy\n"
        "from videothinker.evaluation import load, score\n"
        "from videothinker.data.clevrer import bias_label"
    )
    assert not loaded_by(statement) & HEAVY
    assert "torch" in loaded_by("from videothinker.method import group_advantages, policy_loss")
