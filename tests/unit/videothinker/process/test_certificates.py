"""Metrics behind certificates: read by whoever shows one of ours, and by nobody else."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest
from builders import run_config

from cluster.start.roster import Roster
from videothinker.cli.preflight import check_paths
from videothinker.config.settings import StageConfig, TlsConfig
from videothinker.errors import InputError
from videothinker.process.certificates import unusable
from videothinker.process.metrics import serve
from videothinker.run.directory import RunDirectory


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that is its own authority, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=videothinker"
    named = ("-addext", "subjectAltName=DNS:localhost")
    files = ("-out", certificate, "-keyout", key)
    subprocess.run([*words.split(" "), *named, *files], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("process", "prometheus", "stranger"):
        self_signed(folder, name)
    return folder


@pytest.fixture
def tls(folder: Path) -> TlsConfig:
    return TlsConfig(
        certificate=folder / "process.pem",
        key=folder / "process.key",
        clients=folder / "prometheus.pem",
    )


def read(port: int, folder: Path, who: str | None) -> str:
    """The page, as somebody who knows the process's certificate and has one of his own, or none."""
    context = ssl.create_default_context(cafile=str(folder / "process.pem"))
    if who is not None:
        context.load_cert_chain(folder / f"{who}.pem", folder / f"{who}.key")
    address = f"https://localhost:{port}/metrics"
    with urllib.request.urlopen(address, timeout=5, context=context) as answer:
        return answer.read().decode()


def test_whoever_shows_a_certificate_of_ours_reads_the_metrics(
    folder: Path, tls: TlsConfig
) -> None:
    _, port = serve("driver", tls=tls)
    assert "videothinker_rollout_workers" in read(port, folder, "prometheus")


@pytest.mark.parametrize("who", [None, "stranger"])
def test_nobody_else_does(folder: Path, tls: TlsConfig, who: str | None) -> None:
    _, port = serve("driver", tls=tls)
    with pytest.raises((URLError, ssl.SSLError, ConnectionError)):
        read(port, folder, who)
    with pytest.raises((URLError, ConnectionError)):
        urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=5)


def test_prometheus_is_told_to_ask_by_https(tmp_path: Path, tls: TlsConfig) -> None:
    run = RunDirectory.create(tmp_path / "run", "")
    Roster(run, metrics_tls=tls).joined("rollout-0", ("10.0.0.7", 4711))
    targets = json.loads((run.path / "prometheus_targets.json").read_text())
    assert [target["labels"]["__scheme__"] for target in targets] == ["https", "https"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("key", r"certificate .*process\.pem with key .*: .*\. Give PEM files"),
        ("clients", r"clients .*: .*\. Give PEM files"),
    ],
)
def test_a_file_that_is_none_is_named(tls: TlsConfig, tmp_path: Path, part: str, said: str) -> None:
    other = tmp_path / "other.pem"
    for written in (None, "no certificate"):
        if written is not None:
            other.write_text(written)
        with pytest.raises(InputError, match=f"metrics_tls: {said}"):
            serve("driver", tls=tls.model_copy(update={part: other}))


def test_good_files_are_not_complained_of(tls: TlsConfig) -> None:
    assert unusable(tls) is None


def test_a_run_is_refused_before_it_starts_where_a_file_is_none(
    tls: TlsConfig, tmp_path: Path
) -> None:
    stage = StageConfig(name="grpo", questions=tmp_path / "questions.parquet", steps=1)
    config = run_config(tmp_path, stage)
    wrong = tls.model_copy(update={"key": tmp_path / "none"})
    shown = config.cluster.model_copy(update={"metrics_tls": wrong})
    lines = check_paths(config.model_copy(update={"cluster": shown}))
    assert len([line for line in lines if line.startswith("cluster.metrics_tls: certificate")]) == 1
