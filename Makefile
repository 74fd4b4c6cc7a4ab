# pynetes: `make up` and `make test` are all you need; `make help` lists the rest.

PYNETES := .venv/bin/pynetes
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help setup setup-dev up down clean test unit e2e lint bench completion

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## install what is missing on this machine
	@scripts/setup

setup-dev:
	@scripts/setup --dev

up: setup ## start a cluster, run examples/hello, print the page it serves
	@$(PYNETES) up
	@examples/hello/run

down: ## stop the cluster; its state stays
	@$(PYNETES) down

clean: ## remove the cluster and every trace of it from this machine
	@if [ -x $(PYNETES) ]; then $(PYNETES) delete --all; fi

test: setup-dev ## run every test
	@scripts/test

unit: setup-dev ## run the unit and component tests (those that need root or containers only where they can)
	@.venv/bin/pytest -q -n 2 tests/unit tests/component

e2e: setup-dev ## run the end-to-end tests
	@.venv/bin/pytest -q tests/e2e

lint: setup-dev ## run the linters and the type checker
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: setup-dev ## measure; KUBECONFIG=… measures another cluster
	@.venv/bin/python -m bench

.PHONY: conformance conformance-report

conformance: setup-dev ## run upstream's conformance suite [FOCUS=regex SKIP=regex PARALLEL=n KUBECONFIG=…]
	@.venv/bin/python -m conformance run

conformance-report: setup-dev ## write docs/conformance.md from the last run
	@.venv/bin/python -m conformance report
