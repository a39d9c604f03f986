# `make rio` runs the main job, `make test` runs every test. Both set up what they need.
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := .venv
BENCH := $(VENV)/bin/bench

RUN ?= latest

.PHONY: rio test fuzz unit lint setup generated docs sample lock clean

rio: $(VENV)/ready
	./scripts/with-docker $(BENCH) run scenarios/rio.yaml

test: $(VENV)/ready
	./scripts/system-packages sandbox servers lab chromium
	./scripts/with-docker ./scripts/test

# a million invalid inputs to all readers of external data, in half an hour; see docs/fuzzing.md
fuzz: $(VENV)/ready
	PYTHONPATH=tests $(VENV)/bin/python -m fuzz

unit: $(VENV)/ready
	$(VENV)/bin/python -m pytest -m "not docker and not sandbox and not slow and not chromium and not servers"

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/vulture
	$(VENV)/bin/codespell
	$(VENV)/bin/shellcheck .ci/run dockerfiles/lock.sh $(filter-out scripts/check-links,$(wildcard scripts/*))
	$(VENV)/bin/hadolint $(wildcard dockerfiles/*/Dockerfile)
	$(VENV)/bin/python scripts/check-links
	$(MAKE) --no-print-directory docs

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml requirements-dev.lock
	./scripts/system-packages python
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --no-index --editable .
	touch $@

generated: $(VENV)/ready
	$(BENCH) schema --out scenarios/schema.json
	PYTHONPATH=tests $(VENV)/bin/python -m tools.draw_packages
	PYTHONPATH=tests $(VENV)/bin/python -m tools.make_docs

# the site, in build/site; needs no network
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --quiet --strict

# the committed sample report, from the newest run or from RUN
sample: $(VENV)/ready
	rm -rf reports/sample
	$(BENCH) report $(RUN) --out reports/sample

lock:
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra dev --output-file requirements-dev.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist
