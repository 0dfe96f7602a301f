#!/usr/bin/env bash
# The libraries that report_to tells, in an environment of their own, since not all of them take the locked
# versions; and whether each keeps what it is told of a run. TRACKERS_VENV names another folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${TRACKERS_VENV:-.venv-trackers}
export PIP_DISABLE_PIP_VERSION_CHECK=1
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --editable '.[trackers]'
# the tests name the environment they are to use themselves
"$venv/bin/python" -m pytest tests/unit/videothinker/tracking/test_libraries.py "$@"
