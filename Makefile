# `make` lists the targets. Everything runs in .venv, which the targets make when it is missing.

PYTHON ?= $(firstword $(shell for p in python3 python3.13 python3.12 python3.11; do command -v $$p; done))
EXTRA ?=
BASE ?= embedded
CONFIG ?= $(if $(filter embedded,$(BASE)),config/local.yaml,config/$(BASE).yaml)
ARGS ?=
# What runs the tests: `scripts.suite` gives a few failed ones a second try.
SUITE ?= pytest

# -S: without the user's site-packages, a start that finds everything in place is twice as fast.
BOOTSTRAP = $(or $(PYTHON),$(error No python3 was found: install Python 3.11, 3.12 or 3.13)) -S \
	scripts/bootstrap.py $(if $(EXTRA),--extra $(EXTRA))
BIN = .venv/bin

.DEFAULT_GOAL := help
.PHONY: help serve demo test test-fast test-k8s k8s check format walk lock clean env
.PHONY: bench bench-faults bench-swap bench-adapters bench-gateway bench-gpu bench-routing bench-clusters bench-governance bench-gate

help: ## list the targets
	@echo "make TARGET [EXTRA=cpu|gpu] [BASE=embedded|smollm2] [CONFIG=config/local.yaml] [ARGS='...']"
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

serve: ## bring the whole system up on http://127.0.0.1:8000 (Ctrl-C stops it)
	@$(BOOTSTRAP)
	@exec $(BIN)/graftwork serve --config $(CONFIG) $(ARGS)

env:
	@$(BOOTSTRAP) --dev

test: check ## check, then every test: fast ones and those that start the real system
	@exec $(BIN)/python -m $(SUITE) $(ARGS) < /dev/null

test-fast: env ## only the tests that start nothing
	@exec $(BIN)/python -m pytest -m "not system" $(ARGS) < /dev/null

test-k8s: env ## only the Kubernetes manifests, against schemas, the operator's rules and each other
	@exec $(BIN)/python -m pytest tests/k8s $(ARGS) < /dev/null

k8s: env ## write the overlays' serveConfigV2 from the deploy files
	@$(BIN)/python -m scripts.serve_config $(ARGS)

check: env ## lint, format, types and layering
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: env ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

walk: env ## print what a request and an adapter touch on their way, file by file
	@exec $(BIN)/python -m tests.walk $(ARGS)

demo: ## show the whole loop: traffic becomes an adapter that answers it (BASE=smollm2)
	@$(BOOTSTRAP)
	@exec $(BIN)/python -m serving.demo --base $(BASE) $(ARGS)

bench: env ## measure the router's overhead against vLLM's own server
	@exec $(BIN)/python -m benchmarks $(ARGS)

bench-faults: env ## what a client gets for every way in which a provider can fail
	@exec $(BIN)/python -m benchmarks.faults

bench-swap: env ## replace and roll back adapters under load, against vLLM's own route
	@exec $(BIN)/python -m benchmarks.swap $(ARGS)

bench-gateway: env ## CPU and latency of one router process, beside LiteLLM, vllm-router, Portkey and HAProxy
	@exec $(BIN)/python -m benchmarks.gateway $(ARGS)

bench-gpu: env ## what a CUDA card does with the product, part by part; ARGS=--cpu tries the path in small
	@exec $(BIN)/python -m benchmarks.gpu $(ARGS)

bench-adapters: env ## 200 adapters over 32 places, with skewed traffic
	@exec $(BIN)/python -m benchmarks.many $(ARGS)

bench-routing: env ## measure intents, out-of-scope and routing quality on ../shared/data or GRAFTWORK_DATA
	@exec $(BIN)/python -m benchmarks.routing $(ARGS)

bench-clusters: env ## do texts of one intent come together, and do clusters keep their names
	@exec $(BIN)/python -m benchmarks.clusters $(ARGS)

bench-governance: env ## personal data, safety, rules, retrieval, and what each stage costs
	@exec $(BIN)/python -m benchmarks.governance $(ARGS)

bench-gate: env ## how often the gate errs, by simulation, and what it can see
	@exec $(BIN)/python -m benchmarks.gate $(ARGS)

lock: ## resolve requirements/*.lock anew from pyproject.toml (needs the network)
	@$(or $(PYTHON),python3) scripts/lock.py $(ARGS)

clean: ## remove the environment and everything that tools left behind
	@rm -rf .venv .venv.lock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
