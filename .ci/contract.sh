#!/usr/bin/env bash
# What our code relies on in vLLM, DeepSpeed, torch and transformers, asked of the packages for GPUs; no card
# is needed. GPU_VENV names an environment that has them; without it .venv is
# asked, if it was made by 'make setup-gpu'; or else one is made in .venv-gpu, and kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

refuse() {
    echo "contract: $*" >&2
    exit 2
}

for tool in cc nm; do
    command -v "$tool" >/dev/null || refuse "no $tool here, which makes a stand-in for NVIDIA's driver: install a compiler (Debian and Ubuntu: apt-get install build-essential)"
done
if [ -z "${GPU_VENV:-}" ] && [ "$(tail -n 1 .venv/setup.stamp 2>/dev/null)" = gpu ]; then
    GPU_VENV=.venv
elif [ -z "${GPU_VENV:-}" ]; then
    GPU_VENV=.venv-gpu
    SETUP_VENV=$GPU_VENV bash .ci/setup.sh gpu
fi
python=$GPU_VENV/bin/python
[ -x "$python" ] || refuse "GPU_VENV: no environment in $GPU_VENV: leave GPU_VENV out and one is made, 9 GB; or name the .venv of a checkout in which 'make setup-gpu' was run"
"$python" -c 'import importlib.metadata as packages; packages.version("vllm")' 2>/dev/null ||
    refuse "GPU_VENV: $GPU_VENV has not the packages of constraints-gpu.txt: leave GPU_VENV out, or name the .venv of a checkout in which 'make setup-gpu' was run"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" tests/contract/driver.py "$folder"
LD_LIBRARY_PATH=$folder CUDA_VISIBLE_DEVICES='' "$python" -m pytest \
    tests/contract tests/integration/test_contract.py -m "gpu_packages or integration" "$@"
