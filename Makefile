# planc: every command a developer or CI needs. Each target installs what it lacks.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STATE ?= .cluster
TEST_STATE ?= .cluster-test
# Workers of make test: its tests wait more than they compute.
WORKERS ?= 4
# Test clusters, each with a worker of its own: tests on real servers wait more than they compute.
CLUSTERS ?= 5
RIG := $(BIN)/python -m tests.cluster.rig
# CI installs the Debian servers by itself; elsewhere a missing one is named with the command that installs it.
RIG_BUILD_FLAGS := $(if $(CI),--install-debian,)

# Compiled once, the console starts in half the time, and the tests start it often.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo cluster cluster-down check lint types contracts test test-cluster test-journeys bench screenshots lock clean

help: ## show this list
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install: $(VENV)/.installed ## create .venv and install the locked dependencies

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "planc needs Python 3.11 or newer: install python3.11 and try again" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "planc needs Python 3.11 or newer; $(PYTHON) is older: call make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "creating $(VENV) and installing the locked dependencies (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on --require-hashes -r requirements.lock | sed -u 's/^/  /'
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: cluster ## start the test cluster and open planc on it
	KUBECONFIG=$(STATE)/kubeconfig $(BIN)/planc --playbook $(STATE)/playbook.yaml

cluster: install ## start the real test cluster on loopback (builds its parts the first time)
	@$(RIG) build $(RIG_BUILD_FLAGS)
	@$(RIG) up --state $(STATE)

cluster-down: install ## stop exactly what `make cluster` started
	@$(RIG) down --state $(STATE)

check: lint types contracts ## ruff, mypy --strict, import contracts

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

test: check ## everything that needs Python alone, and the servers of a running `make cluster`, in under 3 minutes
	$(BIN)/python -m pytest -rs -n $(WORKERS) --dist loadgroup -m "not cluster"

test-cluster: MARK := (cluster or server) and not journey
test-journeys: MARK := journey
test-cluster test-journeys: install ## test-cluster: the tests on the real servers; test-journeys: procedures and incidents by keyboard
	@$(RIG) build $(RIG_BUILD_FLAGS)
	@set -e; states="$$(seq -s ' ' -f '$(TEST_STATE)-%.0f' $(CLUSTERS))"; starting=; \
	trap 'for state in $$states; do $(RIG) down --state $$state & done; wait' EXIT; \
	for state in $$states; do $(RIG) up --state $$state & starting="$$starting $$!"; done; \
	for one in $$starting; do wait $$one; done; \
	PLANC_TEST_STATE="$${states// /:}" $(BIN)/python -m pytest -rs -n $(CLUSTERS) --dist loadgroup --no-loadscope-reorder \
	  --durations 25 -m "$(MARK)" tests

bench: install ## measure planc against k9s and kubectl at 5,000 pods on the test cluster
	@$(RIG) build $(RIG_BUILD_FLAGS)
	$(BIN)/python -m benchmarks

screenshots: install ## draw screenshots/ from the test cluster
	$(BIN)/python -m tests.cluster.screenshots --state $(STATE)

lock: install ## renew requirements.lock from pyproject.toml
	$(BIN)/pip-compile --quiet --extra dev --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --no-header --allow-unsafe --output-file requirements.lock pyproject.toml

clean: ## remove .venv and caches (the test cluster must be down)
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache
