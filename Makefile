# One command for each habit. Every target sets up what it needs; `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help setup check kernel bench demo demo-fleet test wheel lint docs hil firmware conformance images native bench-flash bench-link faults explore nightly fuzz clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

setup: $(VENV)/ready ## Debian packages that are missing, and .venv with Quipu in it

# What building images needs: it may begin while the rest is installed.
$(VENV)/begun:
	@missing="$$($(PYTHON) host/quipu/build/images.py packages)"; \
	if [ -n "$$missing" ]; then \
	    echo "installing $$missing"; \
	    $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; \
	fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -qq --disable-pip-version-check 'blake3>=1.0'
	@touch $@

$(VENV)/ready: pyproject.toml setup.py | $(VENV)/begun
	$(BIN)/pip install -qq --disable-pip-version-check -e '.[test,lint,docs,ampy,wheel]'
	@touch $@

kernel: $(VENV)/ready ## the laptop's compiled kernel, again: after a change of shared_kernel/ its files run as they are
	@$(BIN)/python -c 'import sys, quipu; sys.exit(quipu.kernels.kind != "compiled")' || \
	    $(BIN)/pip install -qq --disable-pip-version-check --no-deps -e .

# Real recordings of a smart watch, read as files out of the wheel; its own dependencies are not wanted.
$(VENV)/recordings: $(VENV)/ready
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps 'aeon==1.6.0'
	@touch $@

demo: $(VENV)/recordings ## a board records, loses power, goes on; the laptop pulls, replays and proves
	$(BIN)/python host/demo/run.py

demo-fleet: $(VENV)/recordings ## a Cortex-M4 records; a Cortex-M7 takes over its state and goes on: two verdicts
	$(BIN)/python host/demo/fleet.py

images: $(VENV)/begun ## MicroPython for every emulated board, and for this machine
	PYTHONPATH=host:. $(BIN)/python host/quipu/build/images.py build

native: $(VENV)/begun ## the C module for boards as .mpy, for every architecture that there is a compiler for: build/native
	PYTHONPATH=host:. $(BIN)/python host/quipu/build/natives.py

# What goes into it; what was built in place among that does not. The wheel for this platform takes the kernel that `make setup` compiled,
# unless the sdist's sources are others (setup.py).
PACKED := $(shell find boards firmware host shared_kernel -type f ! -name '*.pyc' ! -path 'host/quipu/compiled/*') \
    CHANGELOG.md LICENSE MANIFEST.in README.md pyproject.toml setup.py
wheel: dist/ready ## the sdist, from it the wheel for this platform, and the pure one for all others: dist/

dist/ready: $(PACKED) | native $(VENV)/ready
	rm -rf dist
	$(BIN)/python host/quipu/build/images.py build mpy-cross
	QUIPU_COMPILED=$(CURDIR)/host/quipu/compiled $(BIN)/python -m build --no-isolation .
	QUIPU_PURE_WHEEL=1 $(BIN)/python -m build --no-isolation --wheel .
	$(BIN)/python -m twine check --strict dist/*
	@touch $@

PORTS ?= $(PORT)
hil: images kernel ## the hardware suite on the board at PORT= (PORTS="a b": several), else on every emulated one; ERASE=1: restore too
	$(BIN)/python -m pytest tests/hil --boards "$(or $(PORTS),emulated)" $(if $(ERASE),--erase-log) \
	    -n $(if $(strip $(PORTS)),$(words $(PORTS)),2) \
	    --junitxml build/reports/hil.xml -o junit_family=xunit1

MICROPYTHON ?= $(or $(QUIPU_MICROPYTHON),build/micropython)
BUILDS := $(patsubst boards/%/board_facts.py,%,$(wildcard boards/*/board_facts.py))
PORT_OF = $(firstword $(patsubst $(MICROPYTHON)/ports/%/boards/$(BOARD),%,$(wildcard $(MICROPYTHON)/ports/*/boards/$(BOARD))))
SDK_rp2 := pico-sdk
SDK_stm32 := stm32lib
SDK_nrf := nrfx
SDK_samd := asf4
firmware: ## MicroPython with Quipu in it for BOARD=RPI_PICO, ...; MICROPYTHON=: a checkout with its port's submodules
	@test -f boards/$(or $(BOARD),.)/board_facts.py || { echo "no build for BOARD=$(BOARD): one of $(BUILDS)"; exit 2; }
	@test -n "$(PORT_OF)" || { echo "MICROPYTHON=$(MICROPYTHON) is no MicroPython checkout that knows $(BOARD)"; exit 2; }
	@test -n "$$(ls -A $(MICROPYTHON)/lib/$(SDK_$(PORT_OF)))" || { echo "$(MICROPYTHON)/lib/$(SDK_$(PORT_OF)) is empty: set MICROPYTHON" \
	    "to a checkout in which \`make -C ports/$(PORT_OF) BOARD=$(BOARD) submodules\` was run"; exit 2; }
	@$(MAKE) images
	$(MAKE) -C $(MICROPYTHON)/ports/$(PORT_OF) BOARD=$(BOARD) BOARD_DIR=$(CURDIR)/boards/$(BOARD) BUILD=$(CURDIR)/build/firmware/$(BOARD) \
	    MICROPY_MPYCROSS=$(CURDIR)/build/mpy-cross

# More workers than processors, for those that test a board wait for it half of their time. The order of files is conftest.py's.
PYTEST := $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder --durations 25
test: images kernel wheel $(VENV)/recordings ## every test; IGNORE=tests/...: but these; FILTER="a or b": what has it in its name
	$(PYTEST) $(if $(FILTER),-k "$(FILTER)") $(addprefix --ignore=,$(IGNORE))

C := $(wildcard $(foreach each,boards/* boards/stm32/* firmware/native host/native,$(each)/*.c $(each)/*.h))

# What needs neither an emulator nor a minute.
check: setup ## form, types and the kernel's own tests, in under a minute; FIX=1: mends the form first
	$(if $(FIX),$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/clang-format -i $(C))
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run -Werror $(C)
	$(BIN)/mypy
	$(BIN)/python tools/determinism.py
	$(BIN)/python tools/imports.py
	$(BIN)/codespell
	$(BIN)/python -m pytest -q -n 2 tests/kernel tests/log/test_store.py tests/host/test_archive.py tests/host/test_verify.py

lint: setup ## ruff, clang-format, mypy --strict on host/ and the kernel, the kernel's determinism, who imports whom, spelling, the API page, the documents' links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check -q .
	$(BIN)/clang-format --dry-run -Werror $(C)
	$(BIN)/mypy
	$(BIN)/python tools/determinism.py
	$(BIN)/python tools/imports.py
	$(BIN)/codespell
	$(BIN)/python tools/api.py --check
	@$(MAKE) docs

docs: setup ## the documentation site, build/site: a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

conformance: images kernel ## the same vectors on every interpreter: one table, build/reports/conformance.json
	$(BIN)/python tools/conformance.py

bench-flash: images setup ## what a record costs the flash, beside littlefs, and how long an insert may take: build/reports/flash.json
	$(BIN)/python -m bench.flash
	$(BIN)/python -m bench.blocking

bench-link: images setup ## a byte's way to a board and back, beside mpremote and the raw REPL: build/reports/link.json
	$(BIN)/python -m bench.link

SEEDS ?= 4
JOBS ?= 2
faults: images setup ## power cuts, bad bits, bad sectors, kills, breakages: one table, build/reports/faults.json; SEEDS= JOBS= CUT=
	$(BIN)/python tests/faults/run.py --seeds $(SEEDS) --jobs $(JOBS) $(if $(CUT),--cut $(CUT))
	$(if $(CUT),,$(BIN)/python tests/faults/soak.py --seconds 60 --jobs $(JOBS))

explore: setup ## every history of cuts and failures, ten minutes deep; then each rule taken back: build/reports/explore.json
	$(BIN)/python tools/explore.py --seconds 600 --jobs $(JOBS) --faults 60

PART ?= tests conformance explore soak fuzz
nightly: images kernel ## what takes longer, or PART= of it: tests (whole tables), conformance, explore (deeper), soak (random long lives), fuzz
	$(if $(filter tests,$(PART)),QUIPU_WHOLE=1 $(PYTEST))
	$(if $(filter conformance,$(PART)),$(BIN)/python tools/conformance.py)
	$(if $(filter explore,$(PART)),$(BIN)/python tools/explore.py --seconds 1800 --jobs $(JOBS) --faults 20)
	$(if $(filter soak,$(PART)),$(BIN)/python tests/faults/soak.py --seconds 600 --jobs $(JOBS) --seed $$(date +%s))
	$(if $(filter fuzz,$(PART)),$(MAKE) fuzz)

bench: images kernel ## every figure beside its peers, under 10 minutes: a table, build/reports/bench.json and charts
	$(BIN)/python -m bench.run

SECONDS ?= 60
FUZZED := frame first_frame command snapshot_header whole_snapshot boot log_reader records dump requests answers archive info_answer asked told printed index_file filters moments lines npy_file valori_file
fuzz: setup ## any bytes at all to every decoder, SECONDS= of each, by atheris where it can be installed
	@$(BIN)/pip install -qq --disable-pip-version-check atheris || true
	@for each in $(FUZZED); do echo "== $$each"; \
	    $(BIN)/python tests/faults/fuzz.py $$each -max_total_time=$(SECONDS) -artifact_prefix=build/ -verbosity=0 || exit 1; done

clean: ## removes what was built and installed here
	rm -rf build host/quipu/compiled $(VENV) dist
