# One vocabulary for people and for CI. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: help run build programs test lint docs bench bench-cluster e2e e2e-cluster cluster-up cluster-down manifests cloud-init eval clean prerequisites

TARGET := $(or $(CARGO_TARGET_DIR),target)
CLOWDER := $(TARGET)/release/clowder

help: ## What there is to make
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: build ## Build, then serve on 127.0.0.1:3090 with the bundled model (ARGS="…" are passed on)
	@exec $(CLOWDER) serve $(ARGS)

build: prerequisites ## Build the command, optimised for this machine
	@cargo build --release --locked -p clowder

programs: prerequisites
	@cargo build --release --locked --workspace --bins

test: prerequisites ## Unit, integration and documentation tests
	@tools/count-tests.sh cargo test --workspace --locked

lint: prerequisites ## Formatting, clippy, documentation, shell scripts: no warning passes
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	@tools/prerequisites.sh lint
	@git ls-files '*.sh' .ci/run | xargs shellcheck -x

docs: prerequisites ## The API documentation, in a browser where there is one
	@cargo doc --workspace --no-deps --locked --open

bench: build ## Measure gateway and worker side by side with their peers (bench/README.md)
	@bench/run.sh $(CLOWDER)

e2e: programs ## The real clients (openai for Python and Node) and curl against the real binary
	@tools/prerequisites.sh clients
	@tools/with-server.sh $(CLOWDER) bins/clowder/tests/clients/run.sh

e2e-cluster: programs ## Clowder on a real Kubernetes cluster, as its users install it (KUBECONFIG names another one)
	@tools/prerequisites.sh clients
	@clowder-k8s/tests/cluster.sh
	@bins/oxide-controller/tests/cluster.sh
	@tools/cluster/with-cluster.sh bins/clowder-controller/tests/cluster/run.sh $(TARGET)/release

bench-cluster: programs ## Controller and gateway with 1,000 nodes and 10,000 Pods
	@tools/cluster/with-cluster.sh --nodes 0 --kwok 1000 -- python3 bench/cluster.py $(TARGET)/release

cluster-up: ## Start a Kubernetes cluster on this machine and leave it running (tools/cluster/README.md)
	@tools/cluster/up.sh

cluster-down: ## End it
	@tools/cluster/down.sh

manifests: ## The chart and k8s/ against each other and against the schemas of three Kubernetes versions
	@tools/prerequisites.sh clients
	@tools/check-manifests.sh

cloud-init: ## What machines on Oxide do when they first start, on two releases of Debian (needs root)
	@tools/check-cloud-init.sh

eval: build ## kitten's accuracy by skill, on held-out phrasings, through the running product
	@tools/with-server.sh $(CLOWDER) models/kitten/eval.sh

clean: ## Remove what was built
	@cargo clean

prerequisites:
	@tools/prerequisites.sh build
