from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

from contract.driver import LIBRARY, NO_DEVICE, asked_of_the_driver, build
from contract.using import ROOT


def test_the_stand_in_for_the_driver_has_what_a_library_asks_for_and_knows_no_card(
    tmp_path: Path,
) -> None:
    driver = build(["cuInit"], tmp_path)
    source, library = tmp_path / "asks.c", tmp_path / "asks.so"
    source.write_text("int cuInit(int); int asks(void) { return cuInit(0); }")
    command = ["cc", "-shared", "-fPIC", "-o", str(library), str(source), str(driver)]
    subprocess.run(command, check=True)
    assert asked_of_the_driver(library) == {"cuInit"}
    assert asked_of_the_driver(driver) == set()
    ctypes.CDLL(str(driver))  # found by its name from now on
    assert ctypes.CDLL(str(library)).asks() == NO_DEVICE
    assert driver.name == LIBRARY


def contract(environment: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", str(ROOT / ".ci/contract.sh")],
        env={"PATH": path, "GPU_VENV": str(environment)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_contract_says_what_it_lacks_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "bin" / "python"
    other.parent.mkdir()
    other.write_text("#!/bin/bash\nexit 1\n")
    other.chmod(0o755)
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    for environment, path, said in (
        (tmp_path, str(tmp_path), "no cc here"),
        (tmp_path / "nowhere", os.environ["PATH"], "no environment in"),
        (tmp_path, os.environ["PATH"], "has not the packages of constraints-gpu.txt"),
    ):
        refused = contract(environment, path)
        assert refused.returncode == 2
        assert refused.stderr.startswith("contract: ")
        assert refused.stderr.count("\n") == 1
        assert said in refused.stderr
