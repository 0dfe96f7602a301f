"""A training as a job of Ray's job server: what is uploaded, what is started, how it ended."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ray.job_submission import JobStatus, JobSubmissionClient

from cluster.start.connecting import require_job_server
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.errors import VideoThinkerError
from videothinker.method.paying import CARRIED, carried_name
from videothinker.mini import SHIPPED_BASE
from videothinker.packages import OWN_NAMES, ROOT

STOP_SECONDS = 60
"""What `ray job stop` leaves a driver to end in order; Ray's own 3 seconds are too few."""
INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A job that the server took."""

    id: str
    address: str
    run: Path

    def commands(self) -> dict[str, str]:
        """What can be done with it, by what it is for."""
        server = f"--address {self.address}"
        return {
            "logs": f"ray job logs --follow {self.id} {server}",
            "job": f"ray job status {self.id} {server}",
            "status": f"videothinker status {self.run}",
            "stop": f"videothinker stop {self.run}",
        }

    def text(self) -> str:
        """What `videothinker submit` prints."""
        lines = [f"{what:<8}{command}" for what, command in self.commands().items()]
        return "\n".join(
            [f"submitted as {self.id}; after a stop or a crash, submit it again", *lines]
        )

    def as_dict(self) -> dict[str, Any]:
        """What `videothinker submit --json` prints."""
        return {
            "job": self.id,
            "address": self.address,
            "run": str(self.run),
            "commands": self.commands(),
        }


def submit(config: RunConfig, source: Path, address: str) -> Submission:
    """Upload our packages and the configuration, and let the server train."""
    require_job_server(address)
    with staged(config, source) as (folder, name), being_taken(address):
        id = _client(address).submit_job(
            entrypoint=f"python -m videothinker train {shlex.quote(name)}",
            runtime_env={
                "working_dir": str(folder),
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
            },
            metadata={"name": config.name, "run": str(config.out)},
        )
    return Submission(id=id, address=address, run=config.out)


@contextmanager
def being_taken(address: str) -> Iterator[None]:
    """A server that fails in the middle says so in one line; a head that is still starting does."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise VideoThinkerError(
            f"{address}: the server did not take the job ({said[-1]}). Is its head still starting?"
            " Submit again: should it have taken it after all, the second is refused"
        ) from error


@contextmanager
def staged(config: RunConfig, source: Path) -> Iterator[tuple[Path, str]]:
    """A folder of all that a job needs, and the name of its configuration there.

    Our packages wherever they are installed here, without the mini base, the files of rewards, and
    nothing else of what lies beside either.
    """
    with tempfile.TemporaryDirectory() as folder:
        for package in OWN_NAMES:
            leftovers = shutil.ignore_patterns("__pycache__", SHIPPED_BASE.name)
            shutil.copytree(ROOT / package, Path(folder) / package, ignore=leftovers)
        for reward in (reward for reward in config.rewards if reward.call is not None):
            carried = Path(folder) / CARRIED.name / carried_name(reward)
            carried.parent.mkdir(exist_ok=True)
            shutil.copy(reward.place[0], carried)
        name = f"{source.stem}.yaml"
        (Path(folder) / name).write_text(portable(config))
        yield Path(folder), name


def portable(config: RunConfig) -> str:
    """A configuration whose paths mean there what they mean here.

    All but the cache of clips where nobody named one: each machine has its own.
    """
    document = yaml.safe_load(to_yaml(config))
    if "cache" not in config.data.model_fields_set:
        del document["data"]["cache"]
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def follow(job: Submission) -> dict[str, Any]:
    """Show what a job says until it ends; its end as text, result and exit code."""
    sys.stderr.write(f"{job.text()}\n")
    client = _client(job.address)
    try:
        asyncio.run(_show(client, job.id))
        info = _ended(client, job.id)
    except KeyboardInterrupt:
        sys.stderr.write(f"{job.id} goes on; end it with: {job.commands()['stop']}\n")
        raise
    except (OSError, RuntimeError) as error:
        raise VideoThinkerError(
            f"{job.address}: no more news of {job.id}, which may go on ({error}); look with:"
            f" {job.commands()['job']}"
        ) from error
    code = exit_code(info)
    return {
        "text": f"{job.id}: {str(info.status.value).lower()}, exit code {code}",
        "result": {**job.as_dict(), "status": info.status.value, "exit_code": code},
        "exit_code": code,
    }


def exit_code(info: Any) -> int:
    """The driver's own, or what it would have been."""
    if info.status == JobStatus.SUCCEEDED:
        return 0
    if info.status == JobStatus.STOPPED:
        return INTERRUPTED
    return int(info.driver_exit_code or 1)


async def _show(client: JobSubmissionClient, job: str) -> None:
    async for text in client.tail_job_logs(job):
        sys.stderr.write(text)


def _ended(client: JobSubmissionClient, job: str) -> Any:
    """Its account; the last lines come before the end itself."""
    while not (info := client.get_job_info(job)).status.is_terminal():
        time.sleep(0.5)
    return info


def _client(address: str) -> JobSubmissionClient:
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # RAY_ADDRESS would go before the argument
    return JobSubmissionClient(address)
