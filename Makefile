# Feedplane. `make help` lists every target.
SHELL := /bin/bash
empty :=
space := $(empty) $(empty)
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := shared shared/native ddl $(wildcard services/*/pyproject.toml) $(wildcard services/feeds/*/pyproject.toml) \
	$(wildcard operator/pyproject.toml) tests/support tests/k8s/cluster
FOLDERS := $(sort $(patsubst %/pyproject.toml,%,$(DISTRIBUTIONS)))
SOURCES := $(wildcard $(addsuffix /src,$(FOLDERS)))
STAMP := $(VENV)/.feedplane-$(shell cat requirements/dev.txt $(addsuffix /pyproject.toml,$(FOLDERS)) shared/native/csrc/* | sha256sum | cut -c1-16)
PYTEST := $(BIN)/pytest
JOBS ?= 2
SANITIZED := build/sanitize
KIND := v0.30.0
FILE ?= examples/quickstart.yaml

.PHONY: help setup run test test-suite test-e2e test-again test-fast test-reference test-charts chart-tools conformance faults check format lint types generate bench fuzz record \
	engine-up engine-down images wheels cluster-up cluster-down cluster-images test-k8s kind-up kind-e2e kind-down sanitize clean

help: ## List every target with one line each
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1|\2/' | column -t -s '|'

setup: $(STAMP) ## Build .venv with every pinned requirement and all packages, editable

$(STAMP): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Feedplane needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ./,$(FOLDERS))
	@rm -f $(VENV)/.feedplane-*
	@touch $@

run: setup ## Start Feedplane on examples/quickstart.yaml (FILE=other.yaml) with embedded engines; Ctrl-C stops
	@$(BIN)/feedplane up -f $(FILE)

test: test-suite test-e2e ## All tests that fit in ten minutes on two cores

test-suite: setup ## Unit tests, conformance, integration with real engines and processes
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not slow and not faults" tests/unit tests/conformance tests/integration

test-e2e: setup ## The whole plane as a stranger runs it
	$(PYTEST) -m "not slow and not faults" tests/e2e

test-again: setup ## What failed last time, one after the other
	$(PYTEST) --last-failed --last-failed-no-failures none

test-fast: setup ## Unit tests and conformance only
	$(PYTEST) -n $(JOBS) --dist worksteal -q tests/unit tests/conformance

conformance: setup ## Conformance suite; EXCHANGE=x for one venue
	$(PYTEST) -q tests/conformance $(if $(EXCHANGE),--exchange $(EXCHANGE))

test-reference: setup ## What runs on the compiled core, on its Python reference; 10,000 broken frames a venue
	FEEDPLANE_CORE=python FEEDPLANE_FUZZ_FRAMES=10000 $(PYTEST) -n $(JOBS) --dist worksteal -q tests/unit/feedplane_core tests/unit/feedplane_journal/test_columns.py \
	  tests/unit/feedplane_collector tests/conformance

faults: setup ## Promises under faults: the whole plane, simulated venues, kills and cuts, judged by the ledger
	$(PYTEST) -m "faults" tests/e2e

test-charts: setup ## Charts: lint, render, schemas, policies, wrong values (needs helm and kubeconform: make chart-tools)
	$(PYTEST) -q tests/charts

chart-tools: ## Build helm and kubeconform at the versions of the cluster's tools, and kind, into `go env GOPATH`/bin
	cd tests/k8s/cluster/tools && go install helm.sh/helm/v3/cmd/helm github.com/yannh/kubeconform/cmd/kubeconform
	go install sigs.k8s.io/kind@$(KIND)

check: setup ## Format, lint, strict types, layers, drift of generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=$(subst $(space),:,$(strip $(SOURCES))) $(BIN)/mypy $(SOURCES)
	$(PYTEST) -q tests/unit/test_layers.py
	$(BIN)/python tools/generate.py --check

format: setup ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: setup ## Write everything that is generated: references, data dictionary
	$(BIN)/python tools/generate.py

bench: setup ## Benchmarks, with ratios against a baseline in the same run; table and build/bench.json
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	$(BIN)/python bench/run.py $(BENCH)

fuzz: setup ## Coverage-guided fuzzing of the decoders, 60 s in all (FOR=10m); EXCHANGE=x for one venue
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	$(BIN)/python tests/fuzz/fuzz_decoders.py --for $(or $(FOR),60s) $(if $(EXCHANGE),--exchange $(EXCHANGE)) $(if $(SEED),--seed $(SEED))

sanitize: setup ## The compiled core's tests under the address and undefined-behaviour sanitizers
	@mkdir -p $(SANITIZED)/feedplane_native
	cp shared/native/src/feedplane_native/__init__.py $(SANITIZED)/feedplane_native/
	$(CC) -std=c11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -Wall -Wextra -Werror \
	  -Wno-missing-field-initializers -shared -fPIC -I$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))') \
	  shared/native/csrc/*.c -o $(SANITIZED)/feedplane_native/_core.so
	LD_PRELOAD=$$($(CC) -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=8 PYTHONMALLOC=malloc PYTHONPATH=$(SANITIZED) \
	  FEEDPLANE_SANITIZED=$(CURDIR)/$(SANITIZED) $(PYTEST) -q tests/unit/feedplane_native

record: setup ## Record real frames: make record EXCHANGE=x SYMBOLS=A,B FOR=60s OUT=file
	$(BIN)/feedplane record --exchange $(EXCHANGE) --symbols $(SYMBOLS) --for $(or $(FOR),60s) -o $(OUT)

engine-up: setup ## Start a container engine of the suite's own, for those without one (root, Debian); prints DOCKER_HOST
	@$(BIN)/python -m feedplane_cluster engine start

engine-down: setup ## Stop it
	@$(BIN)/python -m feedplane_cluster engine stop

cluster-up: setup ## Start a real one-node Kubernetes cluster, built here from Go modules (root, Debian; eight minutes the first time)
	@$(BIN)/python -m feedplane_cluster start

cluster-down: setup ## Stop it
	@$(BIN)/python -m feedplane_cluster stop

test-k8s: $(if $(FEEDPLANE_TEST_KUBECONFIG),setup,cluster-images) ## Tests on a real cluster: one that is started for them, or the one that FEEDPLANE_TEST_KUBECONFIG names
	$(PYTEST) tests/k8s $(K8S)

cluster-images: setup ## What test-k8s needs: the cluster's programs, base images and the product's images
	@$(BIN)/python -m feedplane_cluster build
	@eval "$$($(BIN)/python -m feedplane_cluster engine start)" && export DOCKER_HOST DOCKER_BUILDKIT=0 && \
	  $(BIN)/python -m feedplane_cluster engine base && \
	  $(MAKE) --no-print-directory images BASE_IMAGE=feedplane-test/base:bookworm BUILD_IMAGE=feedplane-test/builder:bookworm

IMAGE_OPTIONS = $(if $(ONLY),--only "$(ONLY)") $(if $(BASE_IMAGE),--base-image $(BASE_IMAGE)) $(if $(BUILD_IMAGE),--build-image $(BUILD_IMAGE)) \
	$(if $(TAG),--tag $(TAG)) $(if $(PREFIX),--prefix $(PREFIX)) $(if $(SOURCE),--source $(SOURCE))

images: setup ## Build the container images: ONLY="writer feed-okx", TAG, PREFIX, BASE_IMAGE and BUILD_IMAGE (docs/kubernetes.md)
	@$(BIN)/python tools/images.py build $(IMAGE_OPTIONS)

wheels: setup ## Fetch what the images install into build/wheels, for `docker build` by hand
	@$(BIN)/python tools/images.py wheels $(IMAGE_OPTIONS)

kind-up: images ## Where there is a container engine: a kind cluster with zones, all images, the chart with simulated venues and stores
	kind get clusters | grep -qx feedplane || kind create cluster --config tests/k8s/kind.yaml --wait 3m
	kind load docker-image --name feedplane $$(docker image ls --format '{{.Repository}}:{{.Tag}}' \
	  --filter "reference=feedplane/*:$$($(BIN)/python -c 'from feedplane_ops.version import __version__; print(__version__)')")
	mkdir -p build && kind get kubeconfig --name feedplane > build/kind.kubeconfig && chmod 600 build/kind.kubeconfig
	helm --kubeconfig build/kind.kubeconfig upgrade --install feedplane charts/feedplane --namespace feedplane --create-namespace \
	  -f charts/feedplane/values-dev.yaml --wait --timeout 5m

kind-e2e: kind-up ## The release's own test and the tests of tests/k8s on it
	helm --kubeconfig build/kind.kubeconfig test feedplane --namespace feedplane
	FEEDPLANE_TEST_KUBECONFIG=$(CURDIR)/build/kind.kubeconfig $(PYTEST) tests/k8s

kind-down: ## Delete it
	kind delete cluster --name feedplane

clean: ## Remove the environment, caches and local data
	rm -rf $(VENV) build data .pytest_cache .mypy_cache .ruff_cache .hypothesis
