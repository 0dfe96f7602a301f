from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from contract.driver import LIBRARY, NO_DEVICE, asked_of_the_driver, build


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
