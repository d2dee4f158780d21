# Needs Linux x86-64, Python 3.11-3.13 with venv, make and PyPI; every target works from a fresh clone.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2
FUZZER := build/fuzz/fuzz.lock
NUMBA := build/fast/fast.lock

.PHONY: help
help: #? list the targets
	@grep -hE '^[a-z-]+:.*#\?' Makefile | sed -E 's/:[^#]*#\? */\t/' | while IFS=$$'\t' read -r name text; do \
	    printf '  %-14s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: #? check the machine, make .venv from the locked packages, install this package into it
	@bash scripts/setup.sh "$(VENV)"

.PHONY: demo
demo: setup #? a whole consortium answers real queries, each checked (KEEP=1 leaves it running)
	$(BIN)/python -m scripts.demo $(if $(KEEP),--keep)

.PHONY: lint
lint: setup #? format, lint, types, layers, generated code up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/generate_protos.py --check
	$(BIN)/python scripts/make_error_table.py --check

.PHONY: test
test: setup #? tests that need Python only (ARGS="..." is handed to pytest)
	$(PYTEST) -n $(WORKERS) --dist loadscope --max-worker-restart=0 -m "not system and not network and not faults and not bench" $(ARGS)

.PHONY: test-network
test-network: setup #? whole consortia of real daemons: answers, privacy, kills, disks that fail or fill
	$(PYTEST) -m network $(ARGS)

.PHONY: test-faults
test-faults: setup #? real daemons killed, or out of disk, at every stage of queries about many subjects
	$(PYTEST) -m faults $(ARGS)

.PHONY: test-system
test-system: setup #? tests that need another tool: skipped where it is missing, failed if CI=true
	$(PYTEST) -m system $(ARGS) || { code=$$?; test $$code -eq 5 && echo "no system test was selected"; }

.PHONY: system-deps
system-deps: $(FUZZER) $(NUMBA) #? install the tools of test-system with apt and npm
	@bash scripts/system_deps.sh

.PHONY: sim
sim: setup #? simulate the consensus until stopped (COUNT=n seeds, from 0); SEED=n replays one
	$(BIN)/python -m tests.sim $(if $(SEED),$(SEED),--workers $(WORKERS) $(if $(COUNT),--count $(COUNT)))

.PHONY: sim-mutants
sim-mutants: setup #? plant bugs in the consensus and see the simulator find them (ONLY=name, ROTATE=commit for three)
	$(BIN)/python -m tests.sim.mutants $(ONLY) $(if $(ROTATE),--rotate $(ROTATE))

.PHONY: fuzz
fuzz: setup $(FUZZER) #? fuzz every decoder for SECONDS each (20): ONLY=target one of them, with INPUT=file a replay
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),20) $(if $(ONLY),--only $(ONLY)) $(if $(INPUT),--input $(INPUT))

$(FUZZER): configs/fuzz.lock | setup
	rm -rf build/fuzz
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: --target build/fuzz -r configs/fuzz.lock
	cp configs/fuzz.lock $@

$(NUMBA): configs/fast.lock | setup
	rm -rf build/fast
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: --target build/fast -r configs/fast.lock
	cp configs/fast.lock $@

.PHONY: bench
bench: setup #? run the benchmarks into build/bench (ONLY=name runs one)
	$(BIN)/python -m scripts.bench $(ONLY)

.PHONY: bench-peers
bench-peers: setup #? run MPyC and SPU on the work of ONLY=score, in environments of their own (1 GB), for its ratios
	$(BIN)/python -m scripts.bench.peers

.PHONY: test-bench
test-bench: setup #? run the benchmarks in small: every figure comes out
	$(PYTEST) -m bench $(ARGS)

.PHONY: proto
proto: setup #? generate ledger/v1 and mpcnode/v1 from proto/
	$(BIN)/python scripts/generate_protos.py

.PHONY: contract
contract: setup #? compile the contracts into their artefacts (CHECK=1 fails if they differ)
	$(BIN)/python scripts/compile_contracts.py $(if $(CHECK),--check)

.PHONY: docs
docs: setup #? write docs/errors.md from the catalogue of errors
	$(BIN)/python scripts/make_error_table.py

.PHONY: vectors
vectors: setup #? write tests/vectors: the bytes of one whole query
	$(BIN)/python -m scripts.make_vectors

.PHONY: lock
lock: setup #? pin all packages again in configs/*.lock (UPGRADE=1 takes the newest)
	@mkdir -p build
	@test -x build/uv/bin/uv || { $(BIN)/python -m venv build/uv && build/uv/bin/pip install --quiet uv==0.13.9; }
	$(BIN)/python -m scripts.lock --uv build/uv/bin/uv $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: #? remove what was built, downloaded or cached, the virtual environment included
	rm -rf build .venv *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
