# All targets except those for containers need only Python 3.11 or newer.
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
BIN     := .venv/bin
# Stamps of .venv: DEMO has what the demo needs, READY what tests and checks need as well.
DEMO    := .venv/.demo
READY   := .venv/.ready
# Three processes keep two cores busy, because many tests wait for a service, a worker or a browser.
# With the profile `ci`, Hypothesis draws the same examples each time, and a slow machine is no failure.
PYTEST  := $(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --hypothesis-profile ci
PACKAGES := services/base services/base/contract metrics services/synth services/evaluator services/oracle services/template orchestrator
# Models have environments of their own: services/run-tests.
MODELS   := services/demucs services/openunmix services/spleeter services/msst
DIST     := dist
# What `make demo-model-docker` starts.
SPLEETER := orchestrator synth evaluator oracle spleeter worker-render worker-evaluate worker-oracle worker-spleeter
PROJECTS := $(PACKAGES:=/pyproject.toml) tools/environment
# Packages whose docstrings have examples that are run as tests.
DOCTESTS := services/base/mssbench_service services/synth/synth_service services/oracle/oracle_service services/template/template_service \
            orchestrator/mssbench/runs orchestrator/mssbench/datasets orchestrator/mssbench/report/statistics.py orchestrator/mssbench/text.py
# The longest tests come first, so that both cores are busy until the end.
TESTS    := tests orchestrator/tests $(filter-out orchestrator/tests,$(PACKAGES:=/tests)) --ignore tests/compose --ignore tests/trained --ignore tests/cluster
TYPED    := services/base/mssbench_service services/base/contract/mssbench_contract metrics/binaural_metrics \
            services/synth/synth_service services/evaluator/evaluator_service services/oracle/oracle_service \
            services/template/template_service orchestrator/mssbench
# Groups of folders with tests or benchmarks. mypy checks each group in a call of its own, because modules of some folders have equal names.
TYPED_TESTS := "conftest.py services/oracle/tests services/template/tests" services/synth/tests services/evaluator/tests \
            metrics/tests "services/base/tests services/base/contract/tests" \
            "orchestrator/tests/server orchestrator/tests/services orchestrator/tests/tools orchestrator/tests/*.py" \
            "orchestrator/tests/runs orchestrator/tests/execution" "orchestrator/tests/report orchestrator/tests/datasets" \
            "tests/*.py tests/bad_input tests/faults tests/fuzz tests/compose tests/trained tests/cluster" benchmarks
# Folders of modules that tests and benchmarks import by name.
HELPERS  := metrics/tests:tests:tests/bad_input:tests/faults:benchmarks/metrics:benchmarks/dashboard:benchmarks/orchestrator

.PHONY: help demo demo-model demo-model-size demo-model-docker test test-long test-all bad-input fuzz test-separators test-trained test-cluster lint format test-compose docs images push-images up down wheels check-tag lock audit clean

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 16

$(DEMO): orchestrator/demo.lock $(PROJECTS)
	@$(PYTHON) tools/environment $< $(filter-out services/base/contract services/template,$(PACKAGES))
	@touch $@

$(READY): orchestrator/development.lock $(PROJECTS)
	@$(PYTHON) tools/environment $< $(PACKAGES)
	@touch $(DEMO) $@

demo: $(DEMO)    ## benchmark the reference separators on the demo data; prints the path of the report
	@$(BIN)/mssbench demo

demo-model: demo-model-size $(DEMO) ## the same with a trained model, spleeter:2stems, in an environment of its own; no Docker needed
	@$(BIN)/mssbench demo --model spleeter:2stems

demo-model-size:
	@echo "Downloads, once: the packages of the demo, 830 MB for TensorFlow, 73 MB of weights. Needs 4 GB of disk."
	@echo "Takes about 6 minutes on two free cores."

demo-model-docker: ## the same in containers; they stay until `make down`
	docker compose up --build --detach --wait $(SPLEETER)
	docker compose exec orchestrator mssbench demo --model spleeter:2stems

test: $(READY)   ## run the tests that need no Docker, without the long ones
	$(BIN)/pytest --doctest-modules $(DOCTESTS)
	$(PYTEST) -m "not long" $(TESTS)

test-long: $(READY) ## run the long tests, and the random searches with more examples
	MSSBENCH_FUZZ=1 $(PYTEST) -m "long or search" $(TESTS)

test-all: test test-long ## run all tests that need no Docker

fuzz: SEED := $(or $(SEED),$(shell date +%s))
fuzz: TIMES ?= 20
fuzz: $(READY)   ## search for bad input at random, with TIMES the examples of `make test-long`; SEED=… repeats a search
	@echo "seed $(SEED)"
	MSSBENCH_FUZZ=$(TIMES) MSSBENCH_FUZZ_SEED=$(SEED) $(BIN)/pytest --hypothesis-seed=$(SEED) $(or $(FUZZ),tests/fuzz)

bad-input: $(READY) ## write the tables of docs/bad-input.md from observed behaviour
	WRITE_BAD_INPUT=1 $(BIN)/pytest tests/bad_input -k every_input

test-separators: ## test Demucs, Open-Unmix, Spleeter and MSST, each in its own environment
	PYTHON=$(PYTHON) services/run-tests

test-trained: $(READY) ## score a trained model from the package index to the report, against known answers
	$(BIN)/pytest tests/trained

test-cluster: $(READY) ## run the scripts of cluster/ on a Slurm of this machine; skipped where Slurm is not installed
	$(BIN)/pytest tests/cluster

lint: $(READY)   ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)
	@for group in $(TYPED_TESTS); do \
	  echo "mypy $$group"; MYPYPATH=$(HELPERS) $(BIN)/mypy --explicit-package-bases $$group || exit 1; \
	done

format: $(READY) ## format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-compose: $(READY) ## build the images and test the whole system in containers
	$(BIN)/pytest tests/compose

# The site's generator has an environment of its own, because it shares no package with the bench.
.venv/docs/.ready: tools/docs.lock
	@$(PYTHON) -m venv .venv/docs
	@.venv/docs/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

docs: .venv/docs/.ready ## write the documentation as a site into site/, and check its links
	@.venv/docs/bin/mkdocs build --strict
	@echo "site/index.html"

images:          ## build the images
	docker compose build

push-images:     ## build the images and push them to MSSBENCH_REGISTRY
	@[ -n "$$MSSBENCH_REGISTRY" ] || { echo "set MSSBENCH_REGISTRY, such as ghcr.io/owner/" >&2; exit 2; }
	docker compose build
	docker compose push

up:              ## start the system and wait until it is healthy
	docker compose up --build --detach --wait

down:            ## stop the system; data and runs are kept
	docker compose down

wheels: $(READY) ## build the wheels and source distributions of all packages into dist/
	@mkdir -p $(DIST)
	@for folder in $(PACKAGES) $(MODELS); do \
	  echo "$$folder"; $(BIN)/python -m build --no-isolation --outdir $(DIST) $$folder >$(DIST)/build.log 2>&1 \
	    || { cat $(DIST)/build.log; exit 1; }; \
	done; rm $(DIST)/build.log

check-tag:       ## check that TAG is the version of all packages, such as v0.2.0
	@$(PYTHON) tools/set-version --tag "$(TAG)"

lock:            ## write the lock files again (needs uv)
	tools/lock

audit:           ## write bills of materials into sbom/, and list known vulnerabilities of all locked packages
	tools/audit

clean:           ## delete the environments; data and runs are kept
	rm -rf .venv services/*/.venv tools/.venv
