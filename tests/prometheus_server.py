"""Debian's Prometheus with the shipped configuration, for as long as a test needs it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from documented import commands

CONFIGS = Path(__file__).parents[1] / "configs" / "prometheus"
PAGE = CONFIGS.parents[1] / "docs" / "metrics.md"
DOCUMENTED_ADDRESS = "127.0.0.1:9090"
PROGRAMS = ("prometheus", "promtool")
FASTER = {
    "scrape_interval: 5s": "1s",
    "evaluation_interval: 5s": "1s",
    "refresh_interval: 15s": "1s",
}
"""What a test does not wait for."""


def programs(folder: Path) -> dict[str, str]:
    """Where server and tool lie; unpacked into the folder, not installed, where Debian's package is
    missing, so that no service is ever started.
    """
    found = {name: shutil.which(name) for name in PROGRAMS}
    if all(found.values()):
        return {name: str(path) for name, path in found.items()}
    try:
        _unpack(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        reason = f"no Prometheus here, and its package cannot be had: {said}"
        warnings.warn(pytest.PytestWarning(reason), stacklevel=1)
        pytest.skip(reason)
    return {name: str(folder / "usr" / "bin" / name) for name in PROGRAMS}


def _unpack(folder: Path) -> None:
    try:
        _quietly("apt-get", "download", "prometheus", cwd=folder)
    except subprocess.CalledProcessError:
        if os.geteuid() != 0:
            raise
        _quietly("apt-get", "update", cwd=folder)  # a fresh machine knows no packages
        _quietly("apt-get", "download", "prometheus", cwd=folder)
    [package] = folder.glob("prometheus_*.deb")
    _quietly("dpkg", "-x", package, folder, cwd=folder)


def _quietly(*command: str | Path, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=180)


class Prometheus:
    """A running server."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, path: str, **parameters: str) -> Any:
        """What the API answers."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self._address}/{path}?{query}", timeout=10) as page:
            return json.load(page)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Every series that an expression has now: `metric`, its labels, and `value`."""
        return list(self.ask("api/v1/query", query=expression)["result"])

    def value(self, expression: str) -> float | None:
        """Of an expression that has one series, or none yet."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        """Alerts."""
        found = self.query('ALERTS{alertstate="firing"}')
        return {series["metric"]["alertname"] for series in found}

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5):
                return True
        except urllib.error.URLError:
            return False


@contextmanager
def serving(program: str, checkout: Path) -> Iterator[Prometheus]:
    """As docs/metrics.md starts it in a checkout, but for the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    [command] = [one.text for one in commands(PAGE) if one.words[0] == "prometheus"]
    assert DOCUMENTED_ADDRESS in command
    _, *options = shlex.split(command.replace(DOCUMENTED_ADDRESS, address))
    with (checkout / "prometheus.log").open("w") as log:
        process = subprocess.Popen([program, *options], cwd=checkout, stdout=log, stderr=log)
    server = Prometheus(address)
    try:
        wait_until(server.ready, 30)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def copied(checkout: Path) -> Path:
    """The shipped files at their place in an otherwise empty checkout, only with less patience."""
    folder = checkout / "configs" / "prometheus"
    shutil.copytree(CONFIGS, folder)
    (checkout / "runs").mkdir()
    text = (folder / "prometheus.yml").read_text()
    for shipped, seconds in FASTER.items():
        assert shipped in text
        text = text.replace(shipped, f"{shipped.partition(':')[0]}: {seconds}")
    (folder / "prometheus.yml").write_text(text)
    return folder


def wait_until(condition: Callable[[], bool], limit: float) -> float:
    """Seconds until it holds; it must within the limit."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit, f"not within {limit} s"
        time.sleep(0.2)
    return time.monotonic() - started
