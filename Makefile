# Set-up, the study, the tests: on a machine that has Python 3.11, make and git, nothing else.
#
#   make reproduce              the default study: every figure, every table, every verdict
#   make reproduce STUDY=NAME   another one (a name in config/, or a path)
#   make verify                 regenerate it elsewhere and compare with the committed figures
#   make test, make lint        what CI runs
#   make benchmark              every goal of speed on this machine: benchmarks/goals.md
#   make report                 Snakemake's HTML report of the study, in results/STUDY/report.html
#   make clean                  remove results (not the environment, not the committed figures)

STUDY ?= digits
CORES ?= all
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/ready
# The shell reads these from its environment, never from the text of a command.
export STUDY CORES
# Jobs find `minified` and `papermill`'s kernel in the environment, activated or not.
RUN := PATH="$(BIN):$$PATH"

.PHONY: reproduce verify report test benchmark lint format lock clean environment
.DELETE_ON_ERROR:

reproduce: $(READY)
	@$(RUN) minified check "$$STUDY"
	@$(RUN) snakemake --cores "$$CORES" --config "study=$$STUDY"

verify: $(READY)
	@$(RUN) minified verify --cores "$$CORES" "$$STUDY"

report: reproduce
	@name=$$(basename "$${STUDY%.*}"); \
	$(RUN) snakemake --cores "$$CORES" --config "study=$$STUDY" --report "results/$$name/report.html"

test: $(READY)
	@$(RUN) python -m pytest

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

# After a change of pyproject.toml: newest versions that it allows, pinned.
lock:
	$(PYTHON) tools/lock.py

$(VENV)/ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python found; install Python 3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' \
		|| { echo "make: $(PYTHON) is older than Python 3.11; set PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

clean:
	rm -rf results .snakemake
