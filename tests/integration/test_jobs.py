"""docs/jobs.md, command by command: a head of our own; a job is scaled, stopped and gone on with.

Nothing here may touch another Ray on the machine: home folder, token, temporary folder and ports
are the test's own, and what it starts carries a mark and is ended by that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cli_process import MARK, heed_ctrl_c, living

from videothinker.config.loading import to_yaml
from videothinker.config.settings import GuardConfig, RunConfig
from videothinker.files import read_lines

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "jobs.md").read_text()
BLOCKS = dict(re.findall(r"<!-- (\w+) -->\n```bash\n(.*?)```", PAGE, re.S))
RUN = Path("runs/cdpo")
EPOCHS, PROMPTS = 2, 16
STEPS = EPOCHS * PROMPTS
LIMIT = 480.0
CACHES = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()


class Shell:
    """A user's, in a checkout, on a machine where nothing of ours is installed."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = folder
        self.checkout = checkout
        self.port, self.gcs = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.started: list[subprocess.Popen[str]] = []
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHON"))}
        self.environment = inherited | {
            MARK: self.mark,
            "HOME": str(folder / "home"),
            "PATH": f"{bare_python(folder / 'venv')}:/usr/bin:/bin",
            "RAY_TMPDIR": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            # or DeepSpeed compiles for minutes
            "TORCH_EXTENSIONS_DIR": os.environ.get(
                "TORCH_EXTENSIONS_DIR", str(CACHES / "torch_extensions")
            ),
        }
        (folder / "home").mkdir()

    def lines(self, name: str, **words: str) -> str:
        """A block of the page, on this test's ports; `words` stand for those in capitals."""
        text = BLOCKS[name].replace(":8265", f":{self.port}")
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    def run(
        self, script: str, limit: float = 120, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """A script to its end."""
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.checkout,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def succeed(self, script: str, limit: float = 120) -> str:
        """What a script says that must end well."""
        done = self.run(script, limit)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, script: str, until: str) -> subprocess.Popen[str]:
        """Something that stays, in a terminal of its own; returns when it has said so much."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec env {script}"],
            cwd=self.checkout,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=heed_ctrl_c,
        )
        self.started.append(process)
        said = ""
        assert process.stdout
        while until not in said:
            line = process.stdout.readline()
            said += line
            assert line, said
        return process

    def status(self) -> dict[str, Any]:
        """What the run says of itself."""
        file = self.checkout / RUN / "status.json"
        return json.loads(file.read_text()) if file.is_file() else {}

    def steps(self) -> int:
        """How many the run has recorded."""
        return len(read_lines(self.checkout / RUN / "metrics.jsonl"))

    def wait(self, happened: Callable[[], Any], job: str) -> None:
        """Until something of a job that is under way."""
        deadline = time.monotonic() + LIMIT
        while not happened():
            if time.monotonic() > deadline or self.status().get("state") == "failed":
                logs = self.run(f"ray job logs {job} --address {self.url}")
                raise AssertionError(logs.stdout + logs.stderr)
            time.sleep(0.2)

    def close(self) -> None:
        """End all that was started here and is still there."""
        while pids := living(self.mark):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self.started:
                process.poll()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def bare_python(venv: Path) -> Path:
    """The folder of a Python that has the dependencies, and not this project.

    Another environment's packages without that environment's .pth files: those bring an editable
    install, as `make setup` makes one.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python, [packages] = venv / "bin" / "python", (venv / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    programs = {
        "ray": "from ray.scripts.scripts import main; main()",
        "videothinker": "import sys; from videothinker.cli.main import main; sys.exit(main())",
    }
    for name, code in programs.items():
        # the environment that a user installs into has the checkout on its path
        here = "import sys, os; sys.path.insert(0, os.getcwd()); " if name == "videothinker" else ""
        (python.parent / name).write_text(f"#!{python}\n{here}{code}\n")
        (python.parent / name).chmod(0o755)
    return python.parent


@pytest.fixture(scope="module")
def checkout(
    run_config: RunConfig,
    mini_world: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A fresh one, whose configs/cdpo.yaml is small, with model and data where that looks."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("videothinker", "actors", "learner", "cluster", "configs"):
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    shutil.copy(ROOT / ".gitignore", folder)
    (folder / "models").mkdir()
    (folder / "models" / "tiny").symlink_to(run_config.model.path)
    (folder / "data").symlink_to(mini_world)
    (folder / "configs" / "cdpo.yaml").write_text(relative(run_config))
    return folder


def relative(run_config: RunConfig) -> str:
    """A prompt a step, long enough that workers come and go; paths as users write."""
    stage = run_config.stages[0].model_copy(
        update={
            "steps": STEPS,
            "prompts_per_step": 1,
            "limit": PROMPTS,
            "guard": GuardConfig(action="off"),
        }
    )
    config = run_config.model_copy(
        update={
            "stages": (stage,),
            "sampling": run_config.sampling.model_copy(update={"max_tokens": 320}),
            "rollout": run_config.rollout.model_copy(update={"prompts_together": 1}),
        }
    )
    text = to_yaml(config)
    for path, written in {
        config.out: RUN,
        config.model.path: "models/tiny",
        config.data.videos: "data/raw/videos",
        config.data.validation: "null",
        stage.questions: "data/questions.parquet",
    }.items():
        assert str(path) in text
        text = text.replace(str(path), str(written))
    return re.sub(r"\n  cache: .*", "", text)


@pytest.fixture(scope="module")
def shell(checkout: Path) -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(prefix="vt-", dir="/tmp"))  # Ray's sockets need short names
    shell = Shell(folder, checkout)
    yield shell
    shell.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def head(shell: Shell) -> subprocess.Popen[str]:
    token, mode = shell.lines("token").splitlines()
    shell.succeed(token)
    assert (shell.folder / "home" / ".ray" / "auth_token").is_file()
    name, value = mode.removeprefix("export ").split("=")
    shell.environment[name] = value
    ours = f" --num-cpus=2 --port={shell.gcs} --dashboard-port={shell.port}"
    ours += f" --dashboard-agent-listen-port={free_port()} --ray-client-server-port={free_port()}"
    return shell.start(shell.lines("head").strip() + ours, until="Ray runtime started")


def job_of(said: str) -> str:
    found = re.search(r"raysubmit_\w+", said)
    assert found, said
    return found.group()


def rollouts_that_worked(shell: Shell) -> set[str]:
    files = sorted((shell.checkout / RUN / "rollouts").glob("*.parquet"))
    return {name for file in files for name in pq.read_table(file)["worker"].to_pylist()}


def worker_folders(mark: str) -> set[Path]:
    """Where the rollout workers were started, by their processes."""
    folders = set()
    for pid in living(mark):
        with suppress(OSError):
            if b"ray::RolloutWorker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                folders.add(Path(f"/proc/{pid}/cwd").readlink())
    return folders


def test_the_page_is_followed_from_a_head_to_a_finished_run(
    shell: Shell, head: subprocess.Popen[str]
) -> None:
    followed = {"token", "head"}

    def page(name: str, **words: str) -> str:
        followed.add(name)
        return shell.lines(name, **words)

    absent = shell.run("cd / && python -c 'import videothinker'")
    assert "No module named 'videothinker'" in absent.stderr

    job = job_of(shell.succeed(page("plain")))
    shell.wait(lambda: shell.steps() >= 1, job)
    shell.succeed(page("more"))
    watched = shell.succeed(page("watch", JOB=job))
    assert "training stage bias" in watched
    assert "RUNNING" in watched
    assert shell.lines("submit") == shell.lines("again").replace(" --follow", "")
    refused = shell.run(page("again"))
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert f"Ray job {job}" in refused.stderr

    shell.wait(lambda: len(rollouts_that_worked(shell)) == 2, job)
    folders = worker_folders(shell.mark)
    assert folders
    assert all("_ray_pkg_" in str(folder) for folder in folders)
    shell.succeed(page("fewer"))
    said = shell.succeed(page("stop"))
    status = shell.status()
    assert status["state"] == "stopped"
    assert 1 < status["step"] < STEPS
    assert f"stopped at step {status['step']} of stage bias" in said

    done = shell.run(page("submit").strip() + " --follow", limit=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"which was stopped at step {status['step']}" in done.stderr
    files = sorted((shell.checkout / RUN / "rollouts").glob("*.parquet"))
    trained = [prompt for file in files for prompt in pq.read_table(file)["prompt_id"].to_pylist()]
    assert len(set(trained)) == PROMPTS
    assert set(Counter(trained).values()) == {EPOCHS}
    assert set(BLOCKS) == followed, "a block of the page that was not run"


def test_a_wrong_token_is_one_line_with_what_to_do(
    shell: Shell, head: subprocess.Popen[str]
) -> None:
    train = f"videothinker train configs/cdpo.yaml out=runs/x cluster.address=127.0.0.1:{shell.gcs}"
    for command in (shell.lines("submit"), train):
        done = shell.run(command, RAY_AUTH_TOKEN="wrong" * 8)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "refuses the token of this machine" in done.stderr
        assert "ray get-auth-token" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_head_ends_with_ctrl_c_and_nothing_of_it_stays(
    shell: Shell, head: subprocess.Popen[str]
) -> None:
    for process in reversed(shell.started):
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    deadline = time.monotonic() + 60
    while (left := living(shell.mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left
    done = shell.run(shell.lines("submit"))
    assert done.returncode == 1
    assert f"no Ray cluster can be reached at {shell.url}" in done.stderr
