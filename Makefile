# `make demo` and `make test` are all a newcomer needs; each sets up what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check bench format pages lock clean

demo: $(READY)  ## Run the whole loop on this machine until Ctrl-C
	@$(BIN)/tidemill demo

test: check  ## Lint, types, import contracts and all tests
	@scripts/prepare-machine
	$(BIN)/pytest

check: $(READY)  ## Lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## Measure; tables on the screen, JSON in dist/benchmarks
	@mkdir -p dist/benchmarks
	@$(BIN)/python -m benchmarks.run_overhead --executor process --json dist/benchmarks/run_process.json
	@$(BIN)/python -m benchmarks.run_overhead --executor docker --json dist/benchmarks/run_docker.json
	@$(BIN)/python -m benchmarks.environments --executor process --json dist/benchmarks/environments_process.json
	@$(BIN)/python -m benchmarks.environments --executor docker --json dist/benchmarks/environments_docker.json
	@$(BIN)/python -m benchmarks.idle --json dist/benchmarks/idle.json
	@$(BIN)/python -m benchmarks.traffic --json dist/benchmarks/traffic.json
	@$(BIN)/python -m benchmarks.blob_transfer --json dist/benchmarks/blob_transfer.json
	@$(BIN)/python -m benchmarks.selection --json dist/benchmarks/selection.json
	@$(BIN)/python -m benchmarks.scheduling --json dist/benchmarks/scheduling.json
	@$(BIN)/python -m benchmarks.crowd --json dist/benchmarks/crowd.json
	@$(BIN)/python -m benchmarks.engine --json dist/benchmarks/engine.json
	@$(BIN)/python -m benchmarks.rounds --json dist/benchmarks/rounds.json

format: $(READY)  ## Write the code as `check` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pages: $(READY)  ## Write the pages anew that are made from the code
	$(BIN)/python -m tidemill.nodes_page docs/nodes.md

lock:  ## Pin every dependency anew; no registry address goes into the file
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements.lock

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Tidemill needs Python 3.11 or later; name one with: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "This Python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

clean:  ## Remove what `make` made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
