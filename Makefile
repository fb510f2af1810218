# What each target promises is in CONTRIBUTING.md. PYTHON picks the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
# Each file's tests stay in one process; four processes are as much as they gain from.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile
STAMP := .venv/.installed

.PHONY: install run test check format reference faults mutation clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Breakwater needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

run: $(STAMP)
	@$(BIN)/gateway demo

test: $(STAMP)
	$(BIN)/pytest $(PARALLEL)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=term

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reference: $(STAMP)
	$(BIN)/python -m gateway.reference

mutation: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mutation]'
	$(BIN)/mutmut run
	$(BIN)/mutmut results

faults: $(STAMP)
	$(BIN)/python -m tests.faults --write docs/fault-matrix.md

clean:
	rm -rf mutants .venv .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
