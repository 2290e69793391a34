# Each target's line of help is the text after `##`; plain `make` prints them.
.DEFAULT_GOAL := help
SHELL := bash
.PHONY: help run test e2e constellation path lint fmt bench bench-web sqlx proto-lint images k8s-check check-graph clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start Mission Control in one process (LISTEN, DATA_DIR, LOCAL_AUTH_TOKEN, DATABASE_URL, AMQP_URL are passed on)
	@scripts/run

test: ## all tests, with a private PostgreSQL and RabbitMQ that are removed afterwards
	@scripts/test

e2e: ## the main path with a real OpenClaw gateway from npm and a scripted language model
	@scripts/e2e

constellation: ## one process per role with PostgreSQL and RabbitMQ, until Ctrl-C
	@scripts/constellation

path: ## walk the main path over REST against a running one (BASE_URL, LOCAL_AUTH_TOKEN)
	@scripts/path

lint: ## formatting, clippy, import graph, proto and shell lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	scripts/check-graph
	scripts/check-docs
	scripts/buf lint proto
	@scripts/lint-shell

fmt: ## format the code
	cargo fmt --all

bench: ## measure speed and memory on a release build and print the table
	@scripts/bench

bench-web: ## measure the page in Chromium on a release build and print the table
	@scripts/bench --page web/e2e/bench.mjs

sqlx: ## refresh .sqlx (the checked queries' cache) after a change of a query or a migration
	@scripts/sqlx

proto-lint: ## buf lint of the contract
	scripts/buf lint proto

check-graph: ## who may import whom, and which crates must stay away
	scripts/check-graph

images: ## build the container image (needs a Docker engine)
	@scripts/images

k8s-check: ## check the Kubernetes manifests, the Dockerfile and compose.yml
	@scripts/k8s-check

clean: ## remove build output and what the scripts brought
	cargo clean
	rm -rf .dev
