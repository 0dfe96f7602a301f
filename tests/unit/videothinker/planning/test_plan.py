import json
import re
from pathlib import Path

import pytest
from builders import CONFIGS
from builders import shipped_config as config

from videothinker.cli.main import main
from videothinker.model.families.known import KNOWN
from videothinker.planning import plan
from videothinker.planning.layout import Load
from videothinker.planning.plan import bar, machines_of
from videothinker.planning.speed import CONSTANTS

TWO_A6000 = ["--gpus", "2", "--gpu-memory", "48", "--host-memory", "128"]
PLANS = {
    "cdpo_2xa6000": TWO_A6000,
    "paper": TWO_A6000,
    "scale_out": ["--nodes", "2", "--gpus", "4", "--gpu-memory", "48", "--host-memory", "128"],
}

ONE_48, TWO_48 = (["--gpus", n, "--gpu-memory", "48", "--host-memory", "128"] for n in "12")
AWAKE = "rollout.sleep=false"
CARDS = {
    "2b, one card": ("2b", ONE_48),
    "2b, two cards": ("2b", [*TWO_A6000, AWAKE]),
    "2b, two small cards": ("2b", ["--gpus", "2", "--gpu-memory", "24", AWAKE]),
    "4b, one card": ("4b", ONE_48),
    "4b, two cards": ("4b", [*TWO_48, AWAKE]),
}

Capture = pytest.CaptureFixture[str]


def words(name: str, *more: str) -> list[str]:
    return ["plan", str(CONFIGS / f"{name}.yaml"), *more]


@pytest.mark.parametrize(("name", "machine"), PLANS.items(), ids=PLANS)
def test_shipped_configurations_pass(name: str, machine: list[str], capsys: Capture) -> None:
    assert main(words(name, *machine)) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "learner 0" in said.out
    assert "a step, predicted with the speed of an A6000" in said.out


@pytest.mark.parametrize(("size", "machine"), CARDS.values(), ids=CARDS)
def test_the_smaller_qwen3s_go_on_one_card_or_two(
    size: str, machine: list[str], capsys: Capture
) -> None:
    assert main(words(f"cdpo_qwen3vl_{size}", *machine)) == 0
    assert "a step, predicted" in capsys.readouterr().out


@pytest.mark.parametrize("name", KNOWN)
def test_every_size_of_every_family_is_planned_without_its_folder(
    name: str, capsys: Capture
) -> None:
    """The largest take cards that nobody makes; what is looked at is that they are counted."""
    machine = ["--nodes", "2", "--gpus", "8", "--gpu-memory", "800", "--host-memory", "4000"]
    settings = [f"model.path=models/{name}", "learner.ranks=4", "learner.zero_stage=3"]
    assert main(words("scale_out", *settings, *machine, "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    parts = [part for load in result["devices"] for part in load["parts"].items()]
    held = sum(each["weights"] for role, each in parts if role.startswith("learner"))
    assert held == pytest.approx(KNOWN[name].parameters * 2 / 1e9, rel=1e-6)
    assert result["step_seconds"] > 0


def test_a_video_must_fit_beside_its_answer(capsys: Capture) -> None:
    short = "rollout.max_model_len=1500"
    assert main(words("cdpo_2xa6000", *TWO_A6000, short)) == 2
    assert "has no room for a video of 1024 tokens" in capsys.readouterr().err
    small = ["video.total_pixels=1605632", "video.max_pixels=100352", short]
    assert main(words("cdpo_qwen3vl_2b", *ONE_48, *small, "rollout.cache_gb=1")) == 2
    assert "has no room for a video of 784 tokens" in capsys.readouterr().err


def test_the_plan_is_json_too(capsys: Capture) -> None:
    assert main(words("cdpo_2xa6000", *TWO_A6000, "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["kind"] == "split"
    assert result["devices"][0]["parts"]["learner 0"]["weights"] == pytest.approx(7.509245952)
    assert result["hours"] == pytest.approx(1000 * result["step_seconds"] / 3600)
    assert result["constants"]["bus"]["source"].startswith("assumed")


def test_what_cannot_fit_is_one_line_with_remedies(capsys: Capture) -> None:
    assert main(words("cdpo_2xa6000", *TWO_A6000, "learner.offload=false")) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "What would fit: learner.offload=true" in said.err


def test_settings_may_stand_before_and_after_the_options(capsys: Capture) -> None:
    assert main(words("paper", "learner.ranks=1", *TWO_A6000, "rollout.workers=1")) == 0
    assert "split" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "this configuration runs on GPUs"),
        (["--gpus", "2"], "--gpu-memory 0"),
        (["--gpus", "-1", "--gpu-memory", "48"], "--gpus -1"),
        (["--gpus", "1", "--gpu-memory", "nan"], "--gpu-memory nan"),
        ([*TWO_A6000, "--nodes", "0"], "--nodes 0"),
        (["--gpus", "2", "--gpu-memory", "48", "--host-memory", "-3"], "--host-memory -3"),
        ([*TWO_A6000, "learner.rank=1"], "Did you mean 'ranks'"),
        ([*TWO_A6000, "model.path=nowhere"], "model.path=DIR"),
        ([*TWO_A6000, "--fast"], "does not know --fast"),
    ],
)
def test_bad_input_is_exit_2(more: list[str], said: str, capsys: Capture) -> None:
    assert main(words("paper", *more)) == 2
    assert said in capsys.readouterr().err


def test_a_configuration_for_cpus_is_planned_over_this_machine(
    mini_base: Path, capsys: Capture
) -> None:
    assert main(words("quickstart", f"model.path={mini_base}", "--host-memory", "16")) == 0
    assert capsys.readouterr().out.startswith("cpu: ")
    assert main(words("quickstart", f"model.path={mini_base}", "--host-memory", "1")) == 1
    assert "What would fit: at least 6 GB of host memory" in capsys.readouterr().err


def test_what_refilling_may_add_to_a_step_is_said(capsys: Capture) -> None:
    said = []
    for more in ([], ["sampling.refill=4"]):
        assert main(words("cdpo_2xa6000", *more, *TWO_A6000)) == 0
        said.append(capsys.readouterr().out)
    assert "up to 4 groups more (sampling.refill), in rounds of up to" in said[1]
    usual, refilled = (  # but for what is written to the disk
        [one for one in text.splitlines() if not re.match(r"disk|  states", one)] for text in said
    )
    assert refilled[: len(usual)] == usual


def test_a_dry_run_says_what_the_run_takes_at_least(capsys: Capture) -> None:
    path = str(CONFIGS / "cdpo_2xa6000.yaml")
    assert main(["train", path, "--dry-run"]) == 0
    assert "at least 1 GPU of 40 GB and 108 GB of host memory" in capsys.readouterr().err


def test_what_fits_nowhere_or_is_unknown_takes_nothing_that_could_be_said() -> None:
    for asked in (["rollout.cache_gb=900"], ["model.path=elsewhere"]):
        assert plan.least(config(*asked, name="paper")) == ""
    assert plan.least(config(name="quickstart")) == ""


def test_a_containers_limit_counts_where_it_is_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "memory.max"
    monkeypatch.setattr(plan, "CONTAINER_LIMIT", file)
    whole = plan.memory_here()
    file.write_text("500000000\n")
    assert plan.memory_here() == 0.5
    for no_limit in ("max\n", f"{2**62}\n"):
        file.write_text(no_limit)
        assert plan.memory_here() == whole


def test_this_machines_memory_is_taken_where_none_is_given() -> None:
    (machine,) = machines_of(config(name="quickstart"), 1, 0, 0.0, None)
    assert machine.host_gb is not None
    assert machine.host_gb > 1


@pytest.mark.parametrize(
    ("used", "drawn"),
    [(0.0, "." * 38), (50.0, "#" * 20 + "." * 18), (94.9, "#" * 38), (100.0, "#" * 38)],
)
def test_a_bar_shows_what_may_be_used(used: float, drawn: str) -> None:
    load = Load(name="GPU 0", parts={"learner 0": {"weights": used}}, limit_gb=100)
    assert bar(load).startswith(f"[{drawn}|")
    assert len(bar(load)) == 43


def test_planning_needs_none_of_the_large_packages() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from videothinker.cli.main import main\n"
        f"assert main({words('paper', *TWO_A6000)!r}) == 0\n"
        "print({'torch', 'ray', 'vllm', 'deepspeed', 'transformers'} & set(sys.modules))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=CONFIGS.parent,
    )
    assert finished.stdout.splitlines()[-1] == "set()"


DOCUMENT = (CONFIGS.parent / "docs" / "placement.md").read_text()
DOCUMENTED = re.findall(
    r"^\| `(\S+\.yaml .*?)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", DOCUMENT, re.M
)


@pytest.mark.parametrize("row", DOCUMENTED, ids=[row[0] for row in DOCUMENTED])
def test_the_documents_machines_are_what_the_command_says(
    row: tuple[str, ...], capsys: Capture
) -> None:
    command, layout, gpu, host, seconds, overlapped = row
    assert main(["plan", f"{CONFIGS}/{command.split()[0]}", *command.split()[1:], "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["kind"] == layout
    assert f"{max(device['total_gb'] for device in result['devices']):.1f}" == gpu
    assert f"{max(machine['total_gb'] for machine in result['hosts']):.0f}" == host
    assert f"{result['seconds']['on_policy']:.1f}" == seconds
    assert f"{result['seconds']['overlapped']:.1f}" == overlapped


def test_the_document_lists_every_constant() -> None:
    assert len(DOCUMENTED) >= 8
    for name, constant in CONSTANTS.items():
        assert f"| `{name}` | {constant.value:g} {constant.unit} | {constant.source} |" in DOCUMENT
