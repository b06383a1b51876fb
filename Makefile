# make run    sets everything up and trains the XOR experiment
# make test   the same set-up with what the tests need, then the checks that CI runs
# make help   the other targets
#
# Settings: PYTHON=python3.12 (interpreter of the virtual environment), TELLEGEN_NGSPICE=/path/libngspice.so.0,
# ARGS='--workers 2' (for run), PYTEST='-k session' (for test).

.POSIX:
.PHONY: run test setup dev lint docs bench bench-full doctor clean help

BIN = .venv/bin
ARGS =
PYTEST = -n 2 --dist worksteal

run: setup
	$(BIN)/tellegen run experiments/xor.yaml $(ARGS)

test: dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PYTEST)

setup:
	@sh bridge/setup/install.sh

dev:
	@sh bridge/setup/install.sh --dev

lint: dev
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: dev
	$(BIN)/python docs/.mkdocs/experiment_file.py
	$(BIN)/python docs/.mkdocs/device_tables.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --config-file docs/.mkdocs/mkdocs.yml
	@echo 'documentation: site/index.html'

bench: setup
	$(BIN)/python -m benchmarks.suite

bench-full: setup
	$(BIN)/python -m benchmarks.suite --full --rounds 5

doctor: setup
	$(BIN)/tellegen doctor

clean:
	rm -rf .venv .ngspice build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@echo 'make run      set up, then train the XOR experiment and print where its report is'
	@echo 'make test     set up, then ruff, mypy and pytest, as CI does'
	@echo 'make setup    Python, the virtual environment .venv and ngspice; nothing that is there already'
	@echo 'make lint     ruff and mypy alone'
	@echo 'make docs     the documentation as a site of plain files in site/'
	@echo 'make bench    speed: against plain PySpice, shares of time, gradients, sizes (three minutes)'
	@echo 'make bench-full   the same with all sizes'
	@echo 'make doctor   what was found: library, version, features, packages'
	@echo 'make clean    removes .venv, .ngspice and caches; run folders stay'
