"""A run's copy at an address: made beside it, checked, and gone on from elsewhere."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from builders import run_config

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.errors import InputError, VideoThinkerError
from videothinker.run.copies import Copying, RunCopy, uncopied
from videothinker.run.directory import RunDirectory
from videothinker.run.lock import driving


@pytest.fixture(params=["memory", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a place that nobody else knows."""
    if request.param == "file":
        yield f"file://{tmp_path}/share/run"
        return
    yield f"memory://{tmp_path.name}/run"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def config(tmp_path: Path, address: str) -> RunConfig:
    stage = StageConfig(name="grpo", questions=tmp_path / "q.parquet")
    return run_config(tmp_path, stage).model_copy(
        update={"out": tmp_path / "here", "copy_to": address}
    )


def state_of(run: RunDirectory, step: int, content: bytes = b"shard") -> Path:
    state = run.stage("grpo") / "state" / f"step_{step:06d}"
    state.mkdir(parents=True)
    (state / "shard.pt").write_bytes(content)
    return state


@pytest.fixture
def run(config: RunConfig) -> RunDirectory:
    """With a step, two states, and what no other machine has a use for."""
    run = RunDirectory.create(config.out, to_yaml(config))
    run.record({"stage": "grpo", "step": 1})
    state_of(run, 1, b"older")
    for name in ("driver.lock", "stages/grpo/.step.partial", "stages/grpo/candidate/model"):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).touch()
    return run


def names(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def stored(address: str) -> list[str]:
    files, root = fsspec.core.url_to_fs(address)
    return sorted(path.removeprefix(f"{root}/") for path in files.find(root))


def elsewhere(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"out": config.out.with_name("there")})


def test_another_machine_goes_on_with_the_newest_state(
    config: RunConfig, run: RunDirectory, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    RunCopy(address).put(run.path, state_of(run, 2))
    with driving(elsewhere(config)) as fetched:
        assert names(fetched.path) == [
            *("config.yaml", "copied.json", "driver.lock", "metrics.jsonl"),
            *("stages/grpo/state/step_000002/shard.pt", "status.json"),
        ]
    assert (
        f"fetching {config.out.with_name('there')} from {address}, copy 1"
        in capsys.readouterr().err
    )


def test_only_what_changed_is_copied_and_what_nobody_needs_goes(
    run: RunDirectory, address: str
) -> None:
    copy = RunCopy(address)
    copy.put(run.path, state_of(run, 2))
    run.record({"stage": "grpo", "step": 2})
    copy.put(run.path, state_of(run, 3))
    assert stored(address) == [
        *("000001/config.yaml", "000002/manifest.json", "000002/metrics.jsonl"),
        "000002/stages/grpo/state/step_000003/shard.pt",
    ]
    other = RunCopy(address)  # which has never seen these files
    other.put(run.path, run.path / "stages/grpo/state/step_000003")
    assert "000003/manifest.json" in stored(address)
    assert "000003/metrics.jsonl" not in stored(address)


def test_a_copy_that_was_broken_off_counts_for_nothing(
    config: RunConfig, run: RunDirectory, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = RunCopy(address)
    copy.put(run.path, state_of(run, 2))
    state_of(run, 3)
    with monkeypatch.context() as patch:
        patch.setattr(RunCopy, "_sum_of", lambda *_: "another")
        with pytest.raises(InputError, match="not as it was written"):
            copy.put(run.path, run.path / "stages/grpo/state/step_000003")
    files, root = fsspec.core.url_to_fs(address)
    files.pipe_file(f"{root}/000002/manifest.json", b'{"files": {"con')
    newest = RunCopy(address).newest()
    assert newest is not None
    assert newest["number"] == 1
    assert "stages/grpo/state/step_000002/shard.pt" in newest["files"]
    copy.put(run.path, run.path / "stages/grpo/state/step_000003")
    assert not any("step_000002" in name for name in stored(address))


def test_a_damaged_copy_makes_no_run(config: RunConfig, run: RunDirectory, address: str) -> None:
    RunCopy(address).put(run.path, state_of(run, 2))
    files, root = fsspec.core.url_to_fs(address)
    files.pipe_file(f"{root}/000001/stages/grpo/state/step_000002/shard.pt", b"Shard")
    with (
        pytest.raises(InputError, match=r"shard.pt is not as it was written"),
        driving(elsewhere(config)),
    ):
        pytest.fail("it goes on")
    assert names(config.out.with_name("there")) == ["driver.lock"]


def test_the_copy_of_another_run_is_left_alone(
    config: RunConfig, run: RunDirectory, address: str
) -> None:
    RunCopy(address).put(run.path, None)
    another = elsewhere(config).model_copy(update={"seed": 77})
    with pytest.raises(InputError, match="seed is 42 there and 77 here"), driving(another):
        pytest.fail("it goes on")


def test_a_folder_that_was_overtaken_elsewhere_is_not_gone_on_with(
    config: RunConfig, run: RunDirectory, address: str
) -> None:
    RunCopy(address).put(run.path, None)
    with driving(config):
        pass
    with driving(elsewhere(config)) as there:
        RunCopy(address).put(there.path, None)
    with pytest.raises(InputError, match="is newer"), driving(config):
        pytest.fail("it goes on")


def test_a_driver_that_was_killed_when_its_copy_was_whole_knows_it_again(
    config: RunConfig, run: RunDirectory, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    RunCopy(address).put(run.path, None)
    with monkeypatch.context() as patch:
        patch.setattr(RunCopy, "_sweep", killed)
        with pytest.raises(KeyboardInterrupt):
            RunCopy(address).put(run.path, None)
    with driving(config):
        RunCopy(address).put(run.path, None)
    newest = RunCopy(address).newest()
    assert newest is not None
    assert newest["number"] == 3


def test_of_two_that_go_on_from_a_copy_the_second_to_copy_is_told(
    config: RunConfig, run: RunDirectory, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    RunCopy(address).put(run.path, None)
    with driving(elsewhere(config)) as there:
        RunCopy(address).put(there.path, None)
        copying = Copying(run.path, address)
        copying.begin(None)
        copying.wait()
    assert "is newer (number 2, this folder's last is 1)" in caplog.text


def test_a_manifest_leads_nowhere_else(config: RunConfig, run: RunDirectory, address: str) -> None:
    RunCopy(address).put(run.path, None)
    files, root = fsspec.core.url_to_fs(address)
    manifest = json.loads(files.cat_file(f"{root}/000001/manifest.json"))
    manifest["files"]["../escaped"] = manifest["files"]["metrics.jsonl"]
    files.pipe_file(f"{root}/000001/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(InputError, match="leads out of the run"), driving(elsewhere(config)):
        pytest.fail("it goes on")
    assert not config.out.with_name("escaped").exists()


def test_a_state_is_held_while_it_is_copied_and_the_next_one_waits_for_nobody(
    run: RunDirectory,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on, put = threading.Event(), RunCopy.put

    def slow(copy: RunCopy, path: Path, state: Path | None) -> None:
        go_on.wait(60)
        put(copy, path, state)

    monkeypatch.setattr(RunCopy, "put", slow)
    copying, first = Copying(run.path, address), state_of(run, 2)
    copying.begin(first)
    copying.begin(state_of(run, 3))
    assert copying.state == first
    assert "takes longer than states do" in caplog.text
    go_on.set()
    copying.wait()
    assert copying.state is None
    assert any("step_000002" in name for name in stored(address))


def test_a_failing_copy_is_said_once_and_ends_the_run_only_at_its_end(
    run: RunDirectory,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    copying = Copying(run.path, address)
    with monkeypatch.context() as patch:
        patch.setattr(RunCopy, "_sum_of", lambda *_: "another")
        for _ in range(2):
            copying.begin(None)
            copying.wait()
        assert caplog.text.count("the run goes on") == 1
        with pytest.raises(VideoThinkerError, match="it is finished, and its copy is not whole"):
            copying.finish()
    copying.finish()


def test_a_state_that_vanishes_leaves_no_copy_without_it(
    run: RunDirectory, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, kept = state_of(run, 2), RunCopy._kept

    def removed(copy: RunCopy, path: Path, *about: object) -> object:
        if path.name == "shard.pt":
            shutil.rmtree(state)
        return kept(copy, path, *about)  # type: ignore[arg-type]

    monkeypatch.setattr(RunCopy, "_kept", removed)
    with pytest.raises(InputError):
        RunCopy(address).put(run.path, state)
    assert RunCopy(address).newest() is None


def test_an_address_that_can_be_used_leaves_nothing_behind(address: str) -> None:
    assert uncopied(address) == []
    assert stored(address) == []


@pytest.mark.parametrize(
    ("nowhere", "reason"),
    [
        ("nosuch://place/run", "Protocol not known"),
        ("file:///proc/nowhere/run", "cannot be used"),
    ],
)
def test_an_address_that_cannot_is_refused_before_the_run(nowhere: str, reason: str) -> None:
    (line,) = uncopied(nowhere)
    assert line.startswith(f"copy_to: {nowhere} cannot be used (")
    assert reason in line
    assert "\n" not in line


def test_without_an_address_nothing_is_copied(tmp_path: Path) -> None:
    assert uncopied(None) == []
    Copying(tmp_path, None).finish()
