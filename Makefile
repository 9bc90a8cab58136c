# The few commands of this repository. `make help` lists them.

SHELL      := /bin/bash
CARGO      ?= cargo
DIR        ?=
DATA       ?=
UP_FLAGS   ?=
NAME       ?=
ARGS       ?=
PROGRAMS   := kumo-cli kumo-store kumo-watcher kumo-renderer kumo-tagger kumo-embedder kumo-similarity
PACKAGES   := $(addprefix -p ,$(PROGRAMS))
RELEASE    := target/release
PROGRAMS_DIR ?= $(RELEASE)
# cargo-nextest runs tests in parallel processes; cargo's own runner does where it is missing.
NEXTEST    := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
TEST_RUN   := $(if $(NEXTEST),nextest run,test)
export RUST_BACKTRACE ?= 0

.PHONY: help up build demo preflight runtime test format clippy tidy tests bench bench-docs clients retrieval models

help: ## Say what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

up: preflight runtime build ## Set up everything and start the cluster: make up [DIR=~/Pictures] [DATA=…]
	@if [ -z "$(DIR)" ]; then $(MAKE) --no-print-directory demo; fi
	@$(RELEASE)/kumo up $(if $(DATA),--data "$(DATA)") $(UP_FLAGS) "$(if $(DIR),$(DIR),demo)"

preflight: ## Install or name the Debian packages that building needs
	@deploy/setup/preflight.sh

runtime: preflight ## Fetch the pinned ONNX Runtime library
	@python3 deploy/runtime/fetch.py

build: preflight ## Build the programs (release)
	@[ -x $(RELEASE)/kumo ] || echo "Building; the first time this takes 8 to 12 minutes on 2 cores." >&2
	@$(CARGO) build --locked --release $(PACKAGES)

demo: preflight ## Make a folder of generated pictures to look at
	@[ -d demo ] || $(CARGO) run --locked --release -q -p kumo-tests --bin pictures -- demo --demo

test: preflight runtime format clippy tests ## Format, lints, all tests: what CI runs

format: preflight
	$(CARGO) fmt --all --check

clippy: preflight
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# Everything is built at once, and with the same features: the cluster tests start the real programs,
# which their own package does not build.
tests: preflight runtime
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) $(TEST_RUN) --locked --workspace --no-fail-fast
	$(if $(NEXTEST),$(CARGO) test --locked --workspace --doc --quiet)

bench: build runtime ## Run a bench on the release programs: make bench NAME=ingest|idle|infer|search|queue|similar [ARGS=--quick]
	@[ -f "tests/bench/$(NAME).py" ] || { echo "name one: make bench NAME=ingest|idle|infer|search|queue|similar" >&2; exit 64; }
	@$(CARGO) build --locked --release -q -p kumo-tests --bin pictures --bin load
	@$(CARGO) build --locked --release -q -p kumo-store-core -p kumo-inference --examples
	@PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 python3 -m bench.$(NAME) $(ARGS)

bench-docs: ## Write docs/BENCHMARKS.md from the last run of each bench
	@PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 python3 -m bench.publish

clients: $(if $(filter $(RELEASE),$(PROGRAMS_DIR)),build) runtime ## Outside clients in Python ask a real cluster everything (needs PyPI): make clients [PROGRAMS_DIR=target/debug] [ARGS=document]
	@$(if $(filter $(RELEASE),$(PROGRAMS_DIR)),$(CARGO) build --locked --release -q -p kumo-tests --bin pictures)
	@python3 -m venv target/clients-venv
	@target/clients-venv/bin/pip install -q --disable-pip-version-check --require-hashes -r tests/clients/requirements.txt
	target/clients-venv/bin/python tests/clients/run.py --programs $(PROGRAMS_DIR) $(ARGS)

retrieval: build runtime ## Are changed pictures found again? A table of recall by change and channel: make retrieval [ARGS=--write]
	@$(CARGO) run --locked --release -q -p kumo-tests --bin retrieval -- $(ARGS)

models: preflight ## Check that the committed models are what their scripts make (needs PyPI)
	python3 -m venv target/models-venv
	target/models-venv/bin/pip install -q -r services/inference/models/requirements.txt
	target/models-venv/bin/python services/inference/models/make.py --check
	target/models-venv/bin/python services/inference/tests/models/make.py --check

tidy: preflight ## Only the rules of the house that a machine can check
	$(CARGO) test --locked -q -p kumo-tests --test tidy
