# `make run` serves http://localhost:8000; `make test` runs every test this machine can.

PORT ?= 8000
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin

LOADTEST := .venv-loadtest
SCENARIO ?= steady
# Only what was typed: some shells export HOST.
typed = $(if $(filter command line,$(origin $(1))),--$(2) $($(1)))

.DEFAULT_GOAL := help
.PHONY: help run install dev test lint unit contract integration e2e faults compose conformance lock
.PHONY: loadtest loadtest-install loadtest-report capacity
.PHONY: autobahn-index bench bench-report dashboard-day dashboard-report

help:
	@echo "make run          install, start an embedded broker and $(WORKERS) workers, serve http://localhost:$(PORT)"
	@echo "make install      only the set-up"
	@echo "make test         every test tier this machine can run"
	@echo "make dev          the tools of the checks, in $(VENV)"
	@echo "make lint unit contract integration e2e faults compose conformance   one tier"
	@echo "make loadtest     SCENARIO=steady USERS=200 RATE=500 [SECONDS=30] [HOST=http://...]: a report of what holds"
	@echo "make capacity     what this machine holds, as a table"
	@echo "make bench        CASES='routed-* echo' PEERS='gateway nchan' ROUNDS=3 SECONDS=4: a report in docs/reports"

# For the view Room of the page: whoever connects may be in a channel that is called room:something.
ROOMS = {"namespaces": [{"name": "room", \
	"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true, \
	"allow_publish_for_subscriber": true, "allow_publish_for_anonymous": true, \
	"history_size": 100, "history_ttl": "300s", "force_recovery": true, \
	"allow_history_for_subscriber": true, "allow_history_for_anonymous": true, \
	"presence": true, "allow_presence_for_subscriber": true, "allow_presence_for_anonymous": true, \
	"join_leave": true, "force_push_join_leave": true}]}

ifndef GATEWAY_CONFIG
run: export GATEWAY_CHANNEL ?= $(ROOMS)
endif
run: install
	@GATEWAY_TRACE=$${GATEWAY_TRACE:-on} \
	GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN=$${GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN:-on} \
	GATEWAY_ALLOWED_HOSTS=$${GATEWAY_ALLOWED_HOSTS:-localhost,127.0.0.1} \
	GATEWAY_DRAIN_SECONDS=$${GATEWAY_DRAIN_SECONDS:-3} \
	exec $(BIN)/gateway serve --port $(PORT) --workers $(WORKERS)

install: $(VENV)/.installed
dev: $(VENV)/.dev

$(VENV)/bin/python:
	@scripts/make-venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python requirements.lock requirements-build.lock pyproject.toml
	@echo "installing into $(VENV)"
	@scripts/install-locked $(VENV) requirements.lock requirements-build.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed requirements-dev.lock
	@echo "installing the tools of the checks into $(VENV)"
	@scripts/install-locked $(VENV) requirements-dev.lock
	@touch $@

test: dev
	@scripts/test

lint: dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

unit contract integration e2e compose conformance: dev
	@$(BIN)/pytest tests/$@

faults: dev
	@scripts/faults

# RATE: messages a second of all users together. Without HOST it starts a gateway of its own.
loadtest: loadtest-install
	@$(LOADTEST)/bin/locust -f loadtest/locustfile.py --headless --only-summary --loglevel WARNING \
	--scenario $(SCENARIO) $(call typed,USERS,users) $(call typed,RATE,rate) \
	$(call typed,SECONDS,seconds) $(call typed,HOST,host) $(call typed,API,api) \
	$(call typed,KEY,api-key) $(call typed,COMPOSE,compose) $(call typed,WORKERS,workers) \
	$(call typed,REDIS_METRICS,redis-metrics) $(call typed,CHANNELS,channels) $(call typed,HISTORY,history) \
	$(call typed,MASTERS,masters)

capacity: loadtest-install
	@$(LOADTEST)/bin/python -m loadtest.capacity

# The page with plots of a report: FOLDER=docs/reports/steady; without FOLDER, of all of them.
loadtest-report: loadtest-install
	@$(LOADTEST)/bin/python -m loadtest.report $(or $(FOLDER),$(dir $(wildcard docs/reports/*/run.json)))

loadtest-install: $(LOADTEST)/.installed

$(LOADTEST)/.installed: requirements-loadtest.lock
	@echo "installing the load test into $(LOADTEST)"
	@test -x $(LOADTEST)/bin/python || scripts/make-venv $(LOADTEST)
	@scripts/install-locked $(LOADTEST) requirements-loadtest.lock
	@touch $@

# Writes tests/conformance/index.md anew, to be committed when the socket layer has changed.
autobahn-index: dev
	@$(BIN)/python -m tests.conformance.index

# Measures the gateway and its peers, which it installs below build/peers. docs/guides/benchmarks.md
bench: dev
	@$(BIN)/python -m benchmarks $(if $(CASES),--cases $(foreach case,$(CASES),'$(case)')) $(if $(PEERS),--peers $(foreach peer,$(PEERS),'$(peer)')) \
	$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(FOLDER),--folder $(FOLDER))

# Writes README.md of a report again, after words were added to its reasons.json, and its plots.
bench-report: dev
	@$(BIN)/python -m benchmarks.report $(FOLDER)

# What each query of the dashboard shows of a day with faults, in FOLDER: 3 minutes. docs/guides/benchmarks.md
dashboard-day: dev
	@$(BIN)/python -m benchmarks.dashboard.day $(FOLDER)
	@$(MAKE) --silent dashboard-report FOLDER=$(FOLDER)

# Its report.md again, after words were added to its words.json, and its pictures.
dashboard-report: dev loadtest-install
	@$(BIN)/python -m benchmarks.dashboard.report $(FOLDER)
	@$(LOADTEST)/bin/python -m benchmarks.dashboard.pictures $(FOLDER)

# Needs uv, and is run by hand when dependencies change. What is pinned stays so while it fits:
# UPGRADE='redis starlette' moves these to their newest, UPGRADE=all everything.
lock: compile = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	$(if $(filter all,$(UPGRADE)),--upgrade,$(foreach package,$(UPGRADE),--upgrade-package $(package)))
lock:
	$(compile) pyproject.toml -o requirements.lock
	$(compile) -c requirements.lock --group build -o requirements-build.lock
	$(compile) -c requirements.lock -c requirements-build.lock pyproject.toml --group dev -o requirements-dev.lock
	$(compile) -c requirements.lock pyproject.toml --group loadtest -o requirements-loadtest.lock
	$(compile) requirements-bench.in -o requirements-bench.lock
