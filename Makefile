# The two ways in: `make demo` and `make test`. Both set everything up first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
WORKERS ?= 2
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

.PHONY: setup demo test lint lock clean

setup: $(INSTALLED)

# uv, itself locked, installs exactly what the development lock names, and checks every hash.
$(INSTALLED): requirements/development.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: Python 3.11 or newer is needed: make setup PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements/development.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@echo "compiling the kernels, about a minute the first time"
	$(BIN)/python -m metarec_stream.pipeline.compile_kernels
	touch $@

demo: setup
	$(BIN)/metarec demo $(ARGUMENTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Two processes, each with a broker of its own: a file's tests stay together. WORKERS=0 for one.
test: setup lint
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGUMENTS)

# After a change of the dependencies in pyproject.toml; `make lock UPGRADE=--upgrade` renews all.
lock:
	printf 'uv\nsetuptools>=77\n' | $(COMPILE) $(UPGRADE) - -o requirements/build.txt
	$(COMPILE) $(UPGRADE) pyproject.toml --extra dev -c requirements/build.txt -o requirements/development.txt
	$(COMPILE) pyproject.toml --extra learn -c requirements/development.txt -o requirements/learn.txt
	$(COMPILE) pyproject.toml -c requirements/development.txt -o requirements/data-path.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
