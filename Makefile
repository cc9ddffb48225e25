# Plain verbs. Everything but the compose ones needs nothing but Python 3.11.
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
BIN     := .venv/bin
# Stamps of .venv: DEMO has what the demo needs, READY what tests and checks need as well.
DEMO    := .venv/.demo
READY   := .venv/.ready
# Installed from the checkout as editable, so that a change takes effect at once.
PACKAGES := services/base services/base/contract metrics services/synth services/evaluator services/oracle services/template orchestrator
PROJECTS := $(PACKAGES:=/pyproject.toml) tools/environment
# What takes longest first, so that no core is left alone with it at the end.
TESTS    := tests orchestrator/tests $(filter-out orchestrator/tests,$(PACKAGES:=/tests)) --ignore tests/compose
TYPED    := services/base/mssbench_service metrics/binaural_metrics services/synth/synth_service services/evaluator/evaluator_service \
            services/oracle/oracle_service services/template/template_service orchestrator/mssbench

.PHONY: help demo test bad-input fuzz test-separators lint format test-compose images up down lock audit clean

help:            ## what there is
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 16

$(DEMO): orchestrator/demo.lock $(PROJECTS)
	@$(PYTHON) tools/environment $< $(filter-out services/base/contract services/template,$(PACKAGES))
	@touch $@

$(READY): orchestrator/development.lock $(PROJECTS)
	@$(PYTHON) tools/environment $< $(PACKAGES)
	@touch $(DEMO) $@

demo: $(DEMO)    ## the main job on the demo data; ends with the path of its report
	@$(BIN)/mssbench demo

test: $(READY)   ## all tests that need no Docker
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(TESTS)

fuzz: SEED := $(or $(SEED),$(shell date +%s))
fuzz: TIMES ?= 20
fuzz: $(READY)   ## search for bad input at random, TIMES as much as `make test` does; SEED=… repeats a search
	@echo "seed $(SEED)"
	MSSBENCH_FUZZ=$(TIMES) MSSBENCH_FUZZ_SEED=$(SEED) $(BIN)/pytest --hypothesis-seed=$(SEED) $(or $(FUZZ),tests/fuzz)

bad-input: $(READY) ## write the tables of docs/bad-input.md from what is observed
	WRITE_BAD_INPUT=1 $(BIN)/pytest tests/bad_input

test-separators: ## tests of Demucs, Open-Unmix and Spleeter, each in an environment of its own
	PYTHON=$(PYTHON) services/run-tests

lint: $(READY)   ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)

format: $(READY) ## let ruff write
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-compose: $(READY) ## builds the images and tests the whole system in containers
	$(BIN)/pytest tests/compose

images:          ## build the images
	docker compose build

up:              ## start the system and wait until it is healthy
	docker compose up --build --detach --wait

down:            ## stop it; data and runs stay
	docker compose down

lock:            ## write the lock files again (needs uv)
	tools/lock

audit:           ## bills of materials into sbom/, and known vulnerabilities of everything that is locked
	tools/audit

clean:           ## forget the environments; data and runs stay
	rm -rf .venv services/*/.venv tools/.venv
