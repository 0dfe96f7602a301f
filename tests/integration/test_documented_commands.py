"""What README and guides tell people to type, typed: in order, word for word, on small stand-ins.

All of it with `-m slow`; in every run what only checks, and whether each would be understood.
What is never typed has its reason below.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from documented import FENCE, ROOT, Documented, Place, commands, first_program, pages, shrink

from videothinker.cli.main import parse
from videothinker.config.loading import load_config
from videothinker.data.questions import read_questions
from videothinker.files import read_lines
from videothinker.mini import SHIPPED_BASE

NOT_HERE = {
    "make": "the targets are what continuous integration runs, or take longer than a test may",
    "pip": "changes the environment",
    "hf": "fetches 8 GB from a network",
    "source": "changes the shell; the program is found without",
    "bash": "this suite is a part of it",
    "kubectl": "needs a cluster",
    "submit": "tests/integration/test_jobs.py",
    "quickstart": "five minutes",
    "warm-start": "five minutes; tests/unit/videothinker/mini/test_shipped.py does it when slow",
    "study": "hours; tests/integration/test_study.py has a small one",
    "export": "changes the shell",
    "configs/rewards/judge.py": "tests/unit/test_judge.py",
    "configs/rewards/judge.py:judge": "tests/integration/test_judge.py",
    "eval_mvbench.json": "a benchmark of 4,000 records in 20 tasks",
}
ELSEWHERE = {
    "jobs.md": "test_jobs.py",
    "metrics.md": "test_prometheus.py",
    "hub.md": "test_hub.py",
    "adapters.md": "test_lora.py",
    "serving.md": "test_serving.py",
}
"""Pages whose commands have a test of their own."""
WHILE_IT_TRAINS = ("status", "scale", "stop", "report")
AFTER_IT = ("train", "evaluate", "ask", "compare", "reward")


def reason(command: Documented) -> str | None:
    """Why a command is not run; None where it is."""
    words = [*command.words[:2], *[word for word in command.words if "." in word]]
    return next((NOT_HERE[word] for word in words if word in NOT_HERE), None)


class Typist:
    """Types a page's commands; a training goes on in the background while others look at it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._training: tuple[Documented, subprocess.Popen[str]] | None = None

    def type(self, command: Documented) -> None:
        dry = "--dry-run" in command.words
        if command.verb in AFTER_IT and not dry:
            self.wait()
        if command.verb == "train" and not dry:
            self._training = command, self._place.start(command)
            return
        if command.verb in WHILE_IT_TRAINS:
            self._until_it_trains(self._place.folder / command.words[2])
        done = self._place.run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def wait(self) -> None:
        """For the training, if there is one."""
        if self._training is not None:
            command, process = self._training
            self._training = None
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, f"{command}\n{output}"

    def _until_it_trains(self, run: Path) -> None:
        while self._training is not None and self._training[1].poll() is None:
            file = run / "status.json"
            if file.is_file() and json.loads(file.read_text())["state"] == "training":
                return
            time.sleep(0.2)


@pytest.fixture
def place(tmp_path: Path, mini_base: Path, mini_world: Path) -> Place:
    place = Place(tmp_path / "place", mini_base, mini_world)
    place.add_mmvu()
    return place


def type_out(place: Place, name: str) -> None:
    """A page from top to bottom."""
    [page] = [page for page in pages() if page.name == name]
    typist = Typist(place)
    for command in commands(page):
        if reason(command) is None:
            typist.type(command)
    typist.wait()


def test_what_the_readme_says_before_it_trains_works_as_it_stands(place: Place) -> None:
    quick = ("doctor", "prepare", "plan")
    for command in commands(ROOT / "README.md"):
        if command.verb in quick or "--dry-run" in command.words:
            Typist(place).type(command)


def test_questions_of_ones_own_become_what_training_reads(place: Place) -> None:
    place.add_own("own-data.md")
    type_out(place, "own-data.md")
    assert len(read_questions(place.folder / "data/mine/questions.parquet")) == 5


@pytest.mark.timeout(900)
def test_the_first_five_minutes_lead_from_videos_and_questions_to_a_watched_run(
    place: Place,
) -> None:
    """As the page says, in small: what `init` wrote is shrunk, and gets the keys of the page."""
    place.add_own("first-five-minutes.md", times=10)
    held_out = (place.folder / "mine.jsonl").read_text().splitlines()[:3]
    (place.folder / "held-out.jsonl").write_text("\n".join(held_out))
    [page] = [page for page in pages() if page.name == "first-five-minutes.md"]
    [keys] = [block for kind, block in FENCE.findall(page.read_text()) if kind == "yaml"]
    typist, file = Typist(place), place.folder / "mine" / "train.yaml"
    for command in commands(page):
        if reason(command) is None:
            typist.type(command)
        if command.verb == "init":
            file.write_text(yaml.safe_dump(watched(file.read_text(), keys)))
    typist.wait()
    prepared, run = place.folder / "mine" / "prepared", place.folder / "runs" / "mine"
    assert len(read_questions(prepared / "questions.parquet")) == 30
    assert len(read_questions(prepared / "bias.parquet")) == 20
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    lines = read_lines(run / "metrics.jsonl")
    assert {line["stage"] for line in lines} == {"bias", "cdpo"}
    assert all("reward_brief" in line for line in lines)
    validated = [(line["stage"], line["step"]) for line in read_lines(run / "validation.jsonl")]
    assert validated == [("bias", 2), ("bias", 4), ("cdpo", 2), ("cdpo", 4)]
    report = (run / "report.html").read_text()
    assert "Reward brief" in report
    assert "Inferential accuracy, validated" in report
    for stage in ("bias", "cdpo"):
        assert (run / "stages" / stage / "model" / "model.safetensors").is_file()
        assert list((run / "tensorboard" / stage).glob("events.out.tfevents.*"))
    require_program(place, first_program(page.read_text()))


def require_program(place: Place, program: str) -> None:
    """A page's program trains with the function that is in it, and asks what came of it."""
    (place.folder / "mine.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    overall, _ = done.stdout.splitlines()
    assert overall.startswith("{'mean': ")
    config = load_config(place.folder / "runs" / "again" / "config.yaml")
    brief = config.rewards[-1]
    assert (brief.weight, brief.place[0]) == (0.5, place.folder / "runs/again-rewards/brief.py")


def watched(written: str, keys: str) -> dict[str, Any]:
    """A configuration with the keys that a page adds to it, for two cores and a minute."""
    config, more = yaml.safe_load(written), yaml.safe_load(keys)
    small = shrink({**config, **more, "data": config["data"] | more["data"]})
    steps = {"steps": 6, "validate_every": 2}
    return {**small, "stages": [stage | steps for stage in small["stages"]]}


def test_a_reward_of_ones_own_is_tried_as_the_page_says(place: Place) -> None:
    place.add_rewards()
    type_out(place, "extending.md")


def test_a_method_is_laid_over_a_configuration_as_the_page_says(place: Place) -> None:
    type_out(place, "objective.md")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_of_a_page_would_be_understood(page: Path) -> None:
    for command in commands(page):
        if command.verb:
            assert parse(command.words[1:]).verb == command.verb


@pytest.mark.slow
def test_what_the_readme_says_works_as_it_stands(place: Place) -> None:
    type_out(place, "README.md")
    assert (place.folder / "runs/paper/stages/cdpo/model/model.safetensors").is_file()


@pytest.mark.slow
def test_the_first_hour(place: Place, mini_world: Path) -> None:
    place.add_quickstart(mini_world)
    type_out(place, "first-hour.md")
    status = json.loads((place.folder / "runs/mine/status.json").read_text())
    assert status["state"] == "stopped"  # the last command but two; README has what follows


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "benchmarks.md",
        "data.md",
        "migrating.md",
        "one-card.md",
        "placement.md",
        "protocols.md",
        "scoring.md",
        "shortcuts.md",
    ],
)
def test_what_the_other_pages_say_works(place: Place, page: str) -> None:
    type_out(place, page)


@pytest.mark.slow
def test_two_a6000_train_what_is_then_compared(tmp_path: Path, mini_world: Path) -> None:
    """With a base that earns rewards, so that it learns something."""
    place = Place(tmp_path / "place", SHIPPED_BASE, mini_world)
    type_out(place, "two-a6000.md")


@pytest.mark.slow
def test_what_is_said_about_looking_works(place: Place, mini_world: Path) -> None:
    place.add_quickstart(mini_world)
    type_out(place, "looking.md")
    for run in ("quickstart", "watched"):
        assert (place.folder / "runs" / run / "tensorboard" / "cdpo").is_dir()


def test_every_command_of_every_page_is_typed_or_has_a_reason() -> None:
    typed = Path(__file__).read_text()
    for page in pages():
        untold = [one for one in commands(page) if reason(one) is None]
        if page.name not in ELSEWHERE and untold:
            assert f'"{page.name}"' in typed, f"nobody types {untold[0]}"
