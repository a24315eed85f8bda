# For those who change minikv; CONTRIBUTING.md says when to use which.
#
#   make            compile what has changed
#   make debug      the same without optimisation, with C asserts; Cython's annotated pages in build/*-debug/c
#   make quick      the tests that need no server
#   make test       all tests but the slow ones
#   make lint       format, lint, types, as CI checks them
#   make sanitize   tests under AddressSanitizer and UndefinedBehaviorSanitizer; ARGS='tests/engine' chooses some
#   make profile    a server under perf record; ARGS='--port 7000 --save ""' are its own
#   make wheel      a wheel for other machines, tested on one without a compiler
#   make clean      forget everything that was compiled

PYTHON ?= .venv/bin/python
QUICK ?= -m 'not server and not slow'
ARGS ?=

ENVIRONMENT = $(filter .venv/bin/python,$(PYTHON)) # made if it is the default and not there

interpreter = $(shell $(PYTHON) -c 'import sys; print(sys.executable)')
tree = build/$(shell $(PYTHON) -c 'import sys; print(sys.implementation.cache_tag)')
ifeq ($(origin CC),default) # the one that pip takes, or each would compile everything again after the other
CC = $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("CC").split()[0])')
endif
export CC
export PATH := $(PATH):$(dir $(interpreter))

define compile
@$(PYTHON) -c 'import Cython, setuptools' || { echo "no Cython here: $(PYTHON) -m pip install -e '.[test,lint,lab]'" >&2; exit 1; }
@cmake -S . -B $(1) -G Ninja -DCMAKE_BUILD_TYPE=$(2) -DPython_EXECUTABLE=$(interpreter) > $(1).log || { cat $(1).log; exit 1; }
@cmake --build $(1)
endef

.PHONY: build debug quick test lint sanitize profile wheel clean

build: $(ENVIRONMENT)
	@mkdir -p build
	$(call compile,$(tree),Release)

debug: $(ENVIRONMENT)
	@mkdir -p build
	$(call compile,$(tree)-debug,Debug)
	@echo "annotated: $(tree)-debug/c"

.venv/bin/python:
	python3 -m venv .venv
	.venv/bin/pip install -e '.[test,lint,lab]'

quick: build
	$(PYTHON) -m pytest $(QUICK) $(ARGS)

test: build
	$(PYTHON) -m pytest $(ARGS)

lint: $(ENVIRONMENT)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

sanitize: $(ENVIRONMENT)
	PYTHON=$(PYTHON) .ci/sanitize $(ARGS)

# Ctrl-C stops the server, and with it the shell if there were no trap. -g asks for the callers of each function.
profile: build
	trap : INT; perf record -g -o build/perf.data -- $(PYTHON) -m minikv $(ARGS); perf report -i build/perf.data

wheel: $(ENVIRONMENT)
	PYTHON=$(PYTHON) .ci/wheel

clean:
	rm -rf build dist
	find minikv -name '*.so' -delete
