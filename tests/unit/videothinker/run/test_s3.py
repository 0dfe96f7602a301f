"""A run's copy in a store that speaks S3: s3fs against moto's server.

Neither is in the locked set: pip install --target DIR 'videothinker[s3]' 'moto[s3,server]', and
PYTHONPATH=DIR.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from videothinker.run.copies import RunCopy, uncopied

pytest.importorskip("s3fs", reason="not in the locked set; see the first lines")
moto = pytest.importorskip("moto.server", reason="not in the locked set; see the first lines")
BLOCKS = 60 * 2**20
"""More than s3fs sends at once."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a store on this machine."""
    import s3fs

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    with suppress(FileExistsError):  # moto's stores are one in a process
        s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_run_goes_to_a_bucket_and_its_files_come_back(bucket: str, tmp_path: Path) -> None:
    state, content = tmp_path / "stages/a/state/step_000001", os.urandom(BLOCKS)
    state.mkdir(parents=True)
    (state / "shard.pt").write_bytes(content)
    (tmp_path / "config.yaml").write_text("name: test\n")
    assert uncopied(f"{bucket}/run") == []
    RunCopy(f"{bucket}/run").put(tmp_path, state)
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    RunCopy(f"{bucket}/run").put(tmp_path, state)
    copy = RunCopy(f"{bucket}/run")
    newest = copy.newest()
    assert newest is not None
    assert {name: entry["in"] for name, entry in newest["files"].items()} == {
        "config.yaml": 1,
        "metrics.jsonl": 2,
        "stages/a/state/step_000001/shard.pt": 1,
    }
    copy._files.get_file("bucket/run/000001/stages/a/state/step_000001/shard.pt", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_bucket_that_does_not_exist_is_refused_and_not_made(bucket: str) -> None:
    (line,) = uncopied("s3://mistyped/run")
    assert "does not exist" in line
    assert len(uncopied("s3://mistyped/run")) == 1  # still


def test_without_the_key_the_reason_is_one_line(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    (line,) = uncopied(f"{bucket}/run")
    assert "\n" not in line
    assert "redentials" in line
