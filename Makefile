SHELL := /bin/sh
.DEFAULT_GOAL := help

# The dev profile builds in about a third of the time of release, with its dependencies optimised
# all the same. `make run PROFILE=release` for the real thing; `make run ARGS="--api 127.0.0.1:9000"`
# passes arguments on.
PROFILE ?= dev
ARGS ?=
# Numbers to keep are those of a release build.
BENCH_PROFILE ?= release
# The split form's tests bring their own database server; lints share what they build.
WITH_DATABASE := --features maru/database

.PHONY: help setup run test test-split drill rolling lint fmt bench docs story image manifests
.PHONY: observability alarms check clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile

setup: ## Fetch nats-server into .maru/bin, unless a good one is there
	@tools/fetch-nats-server

run: setup ## Build and run everything in one process (PROFILE=release, ARGS="…")
	cargo run --profile $(PROFILE) -p maru -- up $(ARGS)

test: setup ## Run every test, with cargo-nextest if it is installed
	@if cargo nextest --version >/dev/null 2>&1; then set -- nextest run; else set -- test; fi; \
	echo "cargo $$* --workspace $(WITH_DATABASE)"; cargo "$$@" --workspace $(WITH_DATABASE)

drill: setup ## Practise a backup and a restore, in one process and split, and compare
	cargo run --profile $(PROFILE) -p maru $(WITH_DATABASE) -- drill
	cargo run --profile $(PROFILE) -p maru $(WITH_DATABASE) -- drill --split

rolling: setup ## Replace every process under load, and prove that nobody noticed (ARGS="--scale")
	cargo build --profile $(PROFILE) -p maru $(WITH_DATABASE)
	tools/rolling --self-test
	tools/rolling $(ARGS)

test-split: setup ## Run the black-box tests on gateways, workers, database and nats-server apart
	@if cargo nextest --version >/dev/null 2>&1; then set -- nextest run -E 'binary(blackbox) - test(/^split::/)'; \
	else set -- test --test blackbox; more='-- --test-threads=1 --skip split::'; fi; \
	export MARU_TEST_FORM=split; cargo "$$@" --workspace $(WITH_DATABASE) $$more

lint: ## Check format, lints and dependencies; what is not installed is left out and said
	@if cargo fmt --version >/dev/null 2>&1; then cargo fmt --all --check; \
	else echo "rustfmt is not installed: the format was not checked"; fi
	@if cargo clippy --version >/dev/null 2>&1; then cargo clippy --workspace $(WITH_DATABASE) --all-targets -- -D warnings; \
	else echo "clippy is not installed: the lints were not checked"; fi
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check --allow no-license-field; \
	else echo "cargo-deny is not installed: licences and advisories were not checked"; fi

fmt: ## Format everything
	cargo fmt --all

bench: setup ## Measure Maru beside what the machine can do (BENCH_PROFILE=dev builds in a third of the time)
	cargo bench --profile $(BENCH_PROFILE) --workspace --bench commands

docs: ## Write schemas/openapi.json, schemas/asyncapi.json and schemas/json/ from the types
	cargo run --profile $(PROFILE) -p maru -- documents

story: ## Tell the story of a first book to a running Maru (`make run` in another terminal)
	examples/first-book.sh

# With the tests' features, as `make test` builds it: others would have the database compiled once more.
manifests: setup ## Hold k3s/ against the API's schemas, the binary and our rules
	cargo build --workspace $(WITH_DATABASE) --bins --tests
	tools/check-manifests

observability: ## Check rules, alerts, dashboards and runbooks, and all of it on a Maru under load
	tools/check-observability

alarms: setup ## Cause each alert, see it fire, do what its runbook says, see it end (ARGS="DeadLetters StreamFull")
	cargo build --profile $(PROFILE) -p maru $(WITH_DATABASE)
	tools/check-observability causes $(ARGS)

image: setup ## Build for production, make the container image without an engine, check and start it
	cargo build --release --locked -p maru
	tools/image
	tools/image --self-test

check: ## Everything that can be held against a machine: lint, test, manifests, rules and dashboards
	tools/check-needs
	$(MAKE) lint
	$(MAKE) test
	$(MAKE) manifests
	tools/check-observability static

clean: ## Take the data in .maru away, all but bin, and name what goes
	@if [ -d .maru ]; then find .maru -mindepth 1 -maxdepth 1 ! -name bin -print -exec rm -rf {} +; fi
