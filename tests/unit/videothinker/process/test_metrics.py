"""What each role serves, and where."""

import re
import shutil
import socket
import urllib.request
from pathlib import Path

import pytest
from builders import usage

from cluster.start.launch import start_counting
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError
from videothinker.process import metrics
from videothinker.process.metrics import EVERYWHERE, EXPORTED, public_address, serve, show_step


def page(place: tuple[str, int]) -> str:
    host, port = place
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("role", EXPORTED)
def test_a_role_serves_its_own_metrics_and_its_memory(role: metrics.Role) -> None:
    text = page(serve(role))
    served = set(re.findall(r"^# TYPE (videothinker_\w+) (?:counter|gauge|histogram)", text, re.M))
    declared = {name(metric) for metric in EXPORTED[role]}
    assert served == declared
    assert float(re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)[1]) > 1e6


def name(metric: object) -> str:
    [family] = metric.describe()  # type: ignore[attr-defined]
    return family.name + "_total" * (family.type == "counter")


def test_metrics_are_found_on_the_loopback_alone() -> None:
    host, port = serve("driver")
    assert host == "127.0.0.1"
    others = public_address()
    if others == host:
        pytest.skip("this machine has no other address")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((others, port), timeout=5)


def test_opened_to_others_they_are_found_at_an_address_that_others_can_use() -> None:
    place = serve("driver", EVERYWHERE)
    assert place[0] == public_address() != EVERYWHERE
    assert "videothinker_rollout_workers" in page(place)


def test_an_address_that_is_not_this_machines_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"metrics_host 192\.0\.2\.1: no port .*0\.0\.0\.0 shows"):
        serve("driver", "192.0.2.1")


def test_a_step_without_questions_of_a_kind_leaves_their_accuracy_as_it_was() -> None:
    line = {"reward": 1.0, "accuracy": 0.5, "observational_accuracy": 0.25}
    show_step({**line, "inferential_accuracy": 0.75})
    show_step({**line, "inferential_accuracy": None})
    assert metrics.ACCURACY.labels("inferential")._value.get() == 0.75
    assert metrics.ACCURACY.labels("all")._value.get() == 0.5


def test_a_figure_that_a_stage_does_not_have_is_zero_again() -> None:
    show_step({"reward": 1.0, "kl": 0.3})
    show_step({"reward": 1.0})
    assert metrics.STEP_GAUGES["kl"]._value.get() == 0


def test_what_has_not_happened_yet_is_exported_as_such(tmp_path: Path) -> None:
    """A rate needs a value from before the first event."""
    config = RunConfig.model_validate(
        {
            "name": "x",
            "out": tmp_path,
            "model": {"path": tmp_path / "absent"},
            "data": {"videos": tmp_path, "max_skipped_share": 0.3},
            "rollout": {"max_staleness": 2},
            "stages": [{"name": "only", "questions": tmp_path}],
        }
    )
    start_counting(config, tmp_path)
    text = page(serve("driver"))
    restarts = set(re.findall(r'^videothinker_restarts_total\{role="(\w+)"\}', text, re.M))
    assert restarts == {*EXPORTED, "ray"}
    for reason in ("video", "too_long", "processes_lost", "too_old", "no_replay", "reward"):
        assert f'videothinker_samples_skipped_total{{reason="{reason}"}}' in text
    assert "videothinker_max_staleness 2.0" in text
    assert "videothinker_max_skipped_share 0.3" in text
    assert "videothinker_state_bytes 0.0" in text
    free = float(re.search(r"^videothinker_disk_free_bytes (\S+)", text, re.M)[1])
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)


@pytest.mark.parametrize("role", ["rollout", "anchor", "learner"])
def test_on_a_cpu_a_role_s_device_is_its_machine(role: metrics.Role) -> None:
    text = page(serve(role))
    found = dict(re.findall(r"^videothinker_device_(\w+) (\S+)", text, re.M))
    assert {*found} == {"memory_bytes", "memory_peak_bytes", "free_bytes", "utilisation"}
    assert 1e6 < float(found["memory_bytes"]) <= float(found["memory_peak_bytes"])
    assert float(found["free_bytes"]) > 1e6
    assert found["utilisation"] == "NaN"


def test_a_gpu_is_asked_at_each_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [usage(memory=5, peak=6, utilisation=0.5, card="A6000")] * 3
    said += [usage(memory=7, peak=8, utilisation=None, card="A6000")] * 3
    monkeypatch.setattr(metrics, "usage", lambda device: said.pop(0))
    monkeypatch.setattr(metrics, "free_memory", lambda device: {"cuda": 11.0}[device])
    place = serve("anchor", device="cuda")
    for memory, peak, busy in (("5.0", "6.0", "0.5"), ("7.0", "8.0", "NaN")):
        text = page(place)
        assert f"videothinker_device_memory_bytes {memory}" in text
        assert f"videothinker_device_memory_peak_bytes {peak}" in text
        assert f"videothinker_device_utilisation {busy}" in text
        assert "videothinker_device_free_bytes 11.0" in text
