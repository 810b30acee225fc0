# Everything a person or a CI run does with this checkout. `make` alone lists the targets.
# A stack from outside, Docker or plain processes: see `make doctor` and deploy/stack/ways.py.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
N ?= 2
FAULT_RUNS ?= 10
PY := .venv/bin/python
STACK := $(PY) -m deploy.stack
STAMP := .venv/.installed

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(STAMP) ## make .venv with the pinned packages

$(STAMP): requirements.lock pyproject.toml deploy/stack/venv.sh
	@PYTHON=$(PYTHON) sh deploy/stack/venv.sh
	@touch $@

.PHONY: lock
lock: venv ## write requirements.lock anew from pyproject.toml
	@$(PY) -m pip install --quiet uv
	@.venv/bin/uv pip compile pyproject.toml --extra dev --extra bench --universal --generate-hashes --no-annotate \
	  --no-header --quiet --output-file requirements.lock

.PHONY: stack
stack: venv ## bring up MySQL, MariaDB, Kafka and Kubernetes on 127.0.0.1
	@$(STACK) up

.PHONY: stack-status
stack-status: venv ## show the processes of the stack
	@$(STACK) status

.PHONY: stack-down
stack-down: venv ## stop the stack (PURGE=1: remove its data too)
	@$(STACK) down $(if $(PURGE),--purge)

.PHONY: stack-env
stack-env: $(STAMP) ## print exports for clients: eval "$$(make -s stack-env)"
	@$(STACK) env

.PHONY: doctor
doctor: venv ## tell how the stack would run here and what is missing
	@$(STACK) doctor

.PHONY: lint
lint: venv ## check style, types, layers and shape
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PY) .ci/check_shape.py
	@PYTHONPATH=. $(PY) .ci/generate_docs.py

.PHONY: unit
unit: venv ## run the tests that need no server
	@.venv/bin/pytest tests/unit tests/contract

.PHONY: e2e
e2e: stack ## run the end-to-end tests
	@.venv/bin/pytest tests/e2e

.PHONY: faults
faults: stack ## kill and stop real processes, FAULT_RUNS=10 times each; the models 20,000 times
	@ROWPLANE_FAULT_RUNS=$(FAULT_RUNS) .venv/bin/pytest tests/unit/cdc/test_protocol_model.py \
	  tests/unit/reconciler/core/test_next_model.py tests/component/test_binlog_values.py \
	  tests/component/test_binlog_differential.py tests/component/test_capture_random.py \
	  tests/component/test_capture_many_hubs.py
	@ROWPLANE_FAULT_RUNS=$(FAULT_RUNS) .venv/bin/pytest tests/fault -m fault

.PHONY: test
test: stack ## run everything: parts and product side by side, then what stops the shared servers
	@failed=0; $(MAKE) -j 2 -k test-parts test-product || failed=$$?; $(MAKE) test-servers || failed=$$?; exit $$failed

.PHONY: test-parts
test-parts: venv ## check style and run `parts`; what they say is shown at their end
	@mkdir -p build; failed=0; $(MAKE) -k lint parts >build/test-parts.txt 2>&1 || failed=$$?; \
	  cat build/test-parts.txt; exit $$failed

.PHONY: parts
parts: venv ## run the unit, contract and component tests
	@.venv/bin/pytest tests --ignore tests/e2e --ignore tests/fault

.PHONY: test-product
test-product: venv ## run the end-to-end and fault tests, but for those that stop the shared servers
	@.venv/bin/pytest tests/e2e tests/fault --ignore tests/fault/test_z_servers.py

.PHONY: test-servers
test-servers: venv ## stop the shared servers while rows change
	@.venv/bin/pytest tests/fault/test_z_servers.py

.PHONY: bench
bench: stack ## measure everything beside floors and peers, 30 minutes (docs/benchmarks.md; ONLY=switch,micro)
	@$(PY) -m tests.bench --only "$(ONLY)" $(SIZE:%=--size=%)

.PHONY: bench-quick
bench-quick: stack ## the same with few samples, 4 minutes
	@$(PY) -m tests.bench --quick --only "$(ONLY)" $(SIZE:%=--size=%)

.PHONY: bench-fleet
bench-fleet: stack ## bursts, a fleet of 10,000 nodes, more reconcilers, memory and start-up (SIZE=fleet.nodes=2000)
	@$(PY) -m tests.bench --only "$(or $(ONLY),bursts,fleet,scaleout,footprint)" $(SIZE:%=--size=%)

.PHONY: demo
demo: stack ## show the product at work (KEEP=1: leave it running)
	@$(PY) -m deploy.demo $(if $(KEEP),--keep)

.PHONY: up
up: stack ## run one capture and N=2 reconcilers against the stack
	@$(STACK) product-up --reconcilers $(N)

.PHONY: down
down: venv ## stop the capture and the reconcilers
	@$(STACK) product-down

.PHONY: crds
crds: venv ## write the custom resource definitions anew
	@.venv/bin/rowplane crds --write deploy/crds

.PHONY: docs
docs: venv ## write the generated pages of docs/ anew
	@PYTHONPATH=. $(PY) .ci/generate_docs.py --write

.PHONY: clean
clean: ## remove what builds and tests left here (.venv and the stack stay)
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
