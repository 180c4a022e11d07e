# Set-up, studies and tests. The machine needs Python 3.11, make and git, and nothing else.
#
#   make reproduce              the default study: every figure, every table, every verdict
#   make reproduce STUDY=NAME   another study (a name in config/, or a path)
#   make reproduce PROFILE=slurm   on a cluster: docs/clusters.md
#   make verify                 regenerate the study elsewhere, compare with the committed figures
#   make check                  the fast tests, which run no whole study: for use while editing
#   make test, make lint        the tests; style and types. CI runs both
#   make test-all               the tests, and the long campaigns: more courses of events, more
#                               studies of a kind, all of which `make test` has one of
#   make benchmark              measure every speed goal on this machine: benchmarks/goals.md
#   make report                 Snakemake's HTML report of the study, in results/STUDY/report.html
#   make notebook               open the notebook of a finished study in Jupyter
#   make clean                  remove results (not the environment, not the committed figures)

STUDY ?= digits
CORES ?= all
PROFILE ?= default
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/ready
# As they were given: make itself would run what they say in $(shell ...). And exported, so that the
# shell reads them from its environment and never as part of a command.
override STUDY := $(value STUDY)
override CORES := $(value CORES)
override PROFILE := $(value PROFILE)
export STUDY CORES PROFILE
# A cluster's profile says how many jobs run at once, and how many cores of a node they may have.
WIDTH := $(if $(filter default,$(PROFILE)),--cores="$$CORES")
# A user without a name, as in some containers, may have none, and Snakemake would not start.
export HOME ?= $(CURDIR)/.snakemake/home
# With this, jobs find `minified` and papermill's kernel even if the environment is not activated.
RUN := PATH="$(BIN):$$PATH"

# One process per core tests one file at a time, the files with whole studies first (tests/conftest).
TOGETHER := --numprocesses=logical --maxprocesses=8 --dist=loadfile --no-loadscope-reorder

.PHONY: reproduce verify report notebook check test test-all benchmark lint format lock clean
.PHONY: environment
.DELETE_ON_ERROR:

reproduce: $(READY)
	@$(RUN) minified check -- "$$STUDY"
	@$(RUN) snakemake --workflow-profile "workflow/profiles/$$PROFILE" $(WIDTH) \
		--config "study=$$STUDY"

verify: $(READY)
	@$(RUN) minified verify --cores="$$CORES" -- "$$STUDY"

report: reproduce
	@name=$$(basename -- "$${STUDY%.*}"); \
	$(RUN) snakemake --cores="$$CORES" --config "study=$$STUDY" --report "results/$$name/report.html"

# With this environment's kernel, whatever kernels the user has. A run replaces an edited copy.
notebook: $(READY)
	@$(RUN) minified check -- "$$STUDY" > /dev/null
	@name=$$(basename -- "$${STUDY%.*}"); file="results/$$name/explore.ipynb"; \
	test -f "$$file" || { printf 'make: %s: no such file; first finish the study: make reproduce\n' \
		"$$file" >&2; exit 1; }; \
	$(RUN) JUPYTER_PREFER_ENV_PATH=1 jupyter lab "$$file"

check: $(READY)
	@$(RUN) python -m pytest $(TOGETHER) -m "not slow and not campaign"

test: $(READY)
	@$(RUN) python -m pytest $(TOGETHER)

# Empty, so that it selects every test (the marks are in pyproject.toml).
test-all: $(READY)
	@$(RUN) python -m pytest $(TOGETHER) -m ""

benchmark: $(READY)
	@$(RUN) python benchmarks/goals.py

lint: $(READY)
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) snakefmt --check Snakefile workflow
	@$(RUN) snakemake --lint

format: $(READY)
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .
	@$(RUN) snakefmt Snakefile workflow

environment: $(READY)

# After a change of pyproject.toml: pin the newest versions that it allows.
lock:
	$(PYTHON) tools/lock.py

$(VENV)/ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python found; install Python 3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' \
		|| { echo "make: $(PYTHON) is older than Python 3.11; set PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@# Snakemake's executor for Slurm asks it at every start, even where there is no Slurm.
	@command -v which > /dev/null || { printf '#!/bin/sh\ncommand -v "$$@"\n' > $(VENV)/bin/which \
		&& chmod +x $(VENV)/bin/which; }
	@touch $(READY)

clean:
	rm -rf results .snakemake
