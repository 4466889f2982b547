# make demo   a first look; make test   everything a change has to pass
# Both set up a virtual environment in .venv first, and again when the dependencies change.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

MAKEFLAGS += --no-print-directory

HELSINKI := examples/helsinki
DEMO := demo-out
RUNS ?= runs

.DEFAULT_GOAL := help
.PHONY: help demo model test lint types tests coverage core lowest newest constraints clean

help:
	@echo "make demo         synthetic tiles for $(HELSINKI), in $(DEMO)/"
	@echo "make model        the default model from tiles in DATA, with LPIPS, in $(RUNS)/default"
	@echo "make test         lint, types and tests"
	@echo "make lint         ruff alone"
	@echo "make types        mypy alone"
	@echo "make tests        pytest alone"
	@echo "make coverage     pytest, and the lines that no test runs, as pages in build/coverage"
	@echo "make core         the tests of the core, installed without any extra, in build/core"
	@echo "make lowest       the tests on the oldest versions that will do, in build/lowest"
	@echo "make newest       the tests on the newest versions that there are, in build/newest"
	@echo "make constraints  pin constraints.txt to what is installed in $(VENV)"
	@echo "make clean        remove what the other targets made"

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --progress-bar off \
		-c constraints.txt -e ".[fast,decouple,osm,postgis,sd15,train,eval,geoembed,graph,view,xarray,docs,ray,s3,c2pa,dev]"
	touch $@

demo: $(INSTALLED)
	$(BIN)/rsaug synth --roads $(HELSINKI)/roads.geojson --landcover $(HELSINKI)/landcover.geojson \
		--buildings $(HELSINKI)/buildings.geojson --limit 12 --out $(DEMO)
	@echo "Look at $(DEMO)/images and $(DEMO)/masks, in QGIS for instance, or at $(BIN)/rsaug report $(DEMO);" \
		"$(DEMO)/run.json says how they were made."

# Each step goes on where it was interrupted; $(RUNS)/pack is made once. STEPS=2 is to see it run.
model: $(INSTALLED) $(RUNS)/pack
	$(if $(LPIPS),,$(error Give LPIPS=FILE, the weights of LPIPS (AlexNet) as safetensors))
	$(BIN)/rsaug train autoencoder --pack $(RUNS)/pack --lpips $(LPIPS) --out $(RUNS)/autoencoder \
		$(if $(STEPS),--steps $(STEPS))
	$(BIN)/rsaug train generator --pack $(RUNS)/pack --autoencoder $(RUNS)/autoencoder \
		--out $(RUNS)/default $(if $(STEPS),--steps $(STEPS))

$(RUNS)/pack: | $(INSTALLED)
	$(if $(DATA),,$(error Give DATA=DIR, a folder of tiles))
	$(BIN)/rsaug train prepare --data $(DATA) --leave-out-overlaps --out $@

# One after the other also under make -j, so that pytest's closing line comes last.
test: $(INSTALLED)
	$(MAKE) lint
	$(MAKE) types
	$(MAKE) tests

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# mypy looks for rsaug.pipelines inside rsaug/, so it is shown the package as it is installed.
types: $(INSTALLED)
	rm -rf build/types
	mkdir -p build/types/rsaug
	cd build/types/rsaug && ln -s ../../../rsaug/* ../../../pipelines ../../../downstream .
	$(BIN)/mypy

# A process a core, each with one thread; a file's tests stay together and share their fixtures.
tests: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

# COVERAGE_CORE=sysmon, from Python 3.12 on, costs little time.
coverage: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile --cov --cov-report=term \
		--cov-report=html:build/coverage

# Each with a virtual environment of its own of some gigabytes; see docs/development.md.
core lowest newest:
	PYTHON=$(PYTHON) .ci/$@

constraints: $(INSTALLED)
	$(BIN)/python scripts/pin_constraints.py

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
