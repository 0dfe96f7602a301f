# Every target makes or refreshes .venv first; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
UNIT_BUDGET ?= 240
# processes that share the tests (tests/company.py)
SIDE_BY_SIDE ?= -n 2
export PYTHON
# the environment is installed uncompiled: modules are compiled when first imported, and kept
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-gpu quickstart test check lint unit contract trackers toolkits gpu-check fullsize soak bench study

help:
	@echo "make quickstart   install, then both stages on a small video world on this machine"
	@echo "make test         install, then the whole test suite (PYTEST='-k name' for a part)"
	@echo "make setup        only the environment, in .venv"
	@echo "make setup-gpu    the same for a machine with GPUs; every other target then uses it"
	@echo "make check        format, lint, types, import rules, unit tests"
	@echo "make contract     what we rely on in the packages for GPUs, without a GPU; in GPU_VENV=DIR, or 9 GB"
	@echo "make trackers     the libraries of report_to, in .venv-trackers, and what each keeps of a run"
	@echo "make toolkits     lmms-eval in .toolkits, and what it is told by a model that is served"
	@echo "make bench        what is measured of speed and memory, in tests/benchmarks/results.json"
	@echo "make gpu-check    on a machine with a GPU: does it do what was tested on CPUs? (GPU_CHECK='--device cpu')"
	@echo "make fullsize    the 3B model's full size on CPUs: what each role holds; 24 GB of memory, an hour"
	@echo "make soak         200 steps while workers and driver are killed, in runs/soak/result.json"
	@echo "make soak LONG=1  5000 steps that nobody disturbs: does anything grow? hours, runs/long/result.json"
	@echo "make study        every arm of the study, in docs/study; hours (STUDY='jobs=1' for overrides)"

setup:
	@bash .ci/setup.sh

setup-gpu:
	@bash .ci/setup.sh gpu

quickstart: setup
	@$(BIN)/videothinker quickstart

test: setup
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST)

check: lint
	@$(MAKE) --no-print-directory unit

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: setup
	@timeout --signal=INT $(UNIT_BUDGET) $(BIN)/python -m pytest tests/unit -q $(SIDE_BY_SIDE) \
		-m "not integration and not gpu and not gpu_packages and not slow" --timeout 30 $(PYTEST) || { code=$$?; \
		[ $$code -ne 124 ] || echo "check: the unit tests took longer than $(UNIT_BUDGET) s; \
	make the slow ones faster or mark them integration (UNIT_BUDGET=300 for a slower machine)" >&2; \
		exit $$code; }

# not on top of .venv, which may have the packages for CPUs
contract:
	@bash .ci/contract.sh $(PYTEST)

trackers:
	@bash .ci/trackers.sh $(PYTEST)

toolkits: setup
	@bash .ci/toolkits.sh $(PYTEST)

gpu-check: setup
	@PYTHONPATH=.:tests $(BIN)/python -m gpu_check $(GPU_CHECK)

FULLSIZE = runs/fullsize

fullsize: setup
	@PYTHONPATH=.:tests $(BIN)/python -P tests/benchmarks/fullsize.py $(FULLSIZE)

bench: setup
	@$(BIN)/python tests/benchmarks/run.py

soak: setup
	@$(BIN)/python tests/$(if $(LONG),long_,)soak.py $(SOAK)

# ends with results.json as one line
study: setup
	@set -o pipefail; $(BIN)/videothinker study configs/study.yaml $(STUDY) --json \
		| $(BIN)/python -c "import json, sys; print(json.dumps(json.load(sys.stdin)))"
