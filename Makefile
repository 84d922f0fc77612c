# Everything works in .venv, which the targets make and fill from the hashed locks in requirements/.
# A lock is installed again only when it, or pyproject.toml, has changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The dev lock is for Python 3.11 (tflite-runtime 2.14 has no wheels for later ones); the demo runs on any from 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What ecg5 needs of TFLM's arena by core, measured with real TFLM under QEMU: the architecture decides it, not weights.
ARENAS := $(addprefix --arena=,reference-cortex-m4=12296 cmsis-nn-cortex-m4=12812 cmsis-nn-cortex-m55=16716)
WINDOWS ?= 5000
INPUTS ?= 200
URL ?=
SECONDS ?= 60

# System packages, fetched with apt where root or sudo allows it.
HOST_PACKAGES := gcc libc6-dev
ARM_PACKAGES := gcc-arm-none-eabi libnewlib-arm-none-eabi
RISCV_PACKAGES := gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc
PI_PACKAGES := qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross
PI32_PACKAGES := qemu-user-static gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
TEST_PACKAGES := g++ $(ARM_PACKAGES) qemu-system-arm $(RISCV_PACKAGES) gcc-avr avr-libc arduino-core-avr libsimavr-dev libelf-dev chromium systemd

.PHONY: help venv model beats demo check test pi-test pi32-test soak fuzz emu hil bench identity golden size lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: .venv/.dev ## make .venv with everything that building and testing need

demo: .venv/.demo ## synthetic ECG to a virtual board and back; writes build/demo/report.html
	@tools/system.sh $(HOST_PACKAGES)
	$(BIN)/ecg-edge bench ecg5 --device virtual:native --synthetic 200 --out build/demo
	@echo "report: build/demo/report.html (build/demo/report.json for scripts)"

check: .venv/.dev ## lint, types and unit tests: seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n auto -m "not slow" tests/unit

test: .venv/.dev ## everything that needs no hardware
	@tools/system.sh $(HOST_PACKAGES)
	$(test_packages)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n auto -m "not hil"

pi-test: .venv/.dev ## the run path on an emulated Raspberry Pi (Debian arm64, aarch64 wheels): minutes
	@tools/system.sh $(HOST_PACKAGES) $(PI_PACKAGES)
	$(BIN)/python tools/pi.py test

pi32-test: .venv/.dev ## the same on a 32-bit one (Debian armhf)
	@tools/system.sh $(HOST_PACKAGES) $(PI32_PACKAGES)
	$(BIN)/python tools/pi.py --machine armhf test

soak: .venv/.dev ## the tests that draw at random, with many more draws (half an hour)
	@tools/system.sh $(HOST_PACKAGES)
	$(test_packages)
	ECG_SOAK=1 $(BIN)/pytest -q -n auto $$(grep -rl ECG_SOAK --include='test_*.py' tests)

fuzz: .venv/.demo ## libFuzzer on the frame parser and the core: make fuzz SECONDS=600
	@tools/system.sh $(HOST_PACKAGES) clang libclang-rt-14-dev
	$(BIN)/python tools/fuzz.py --seconds $(SECONDS)

emu: .venv/.dev ## the tests on emulated boards only
	@tools/system.sh $(HOST_PACKAGES)
	$(test_packages)
	$(BIN)/pytest -q -m emulator

hil: .venv/.dev ## the tests on a real board: make hil URL=/dev/ttyUSB0
	@test -n "$(URL)" || { echo "which board? make hil URL=/dev/ttyUSB0" >&2; exit 2; }
	$(BIN)/pytest -q -m hil --device "$(URL)"

bench: .venv/.dev ## speed and bits of the host's stages, both engines, the native one on every core: make bench INPUTS=200
	@tools/system.sh $(HOST_PACKAGES)
	$(BIN)/python tools/bench_host.py --out build/bench/host.json
	$(BIN)/python tools/bench_run.py --out build/bench/run.json
	$(BIN)/ecg-edge bench ecg5 --backends --out build/bench/backends
	$(BIN)/ecg-edge bench ecg5 --device virtual:native --synthetic $(WINDOWS) --out build/bench/native
	$(BIN)/ecg-edge bench ecg5 --device virtual:tflm --synthetic $(WINDOWS) --out build/bench/tflm
	-@tools/system.sh $(ARM_PACKAGES) qemu-system-arm $(RISCV_PACKAGES)
	$(BIN)/python tools/bench_engine.py --inputs $(INPUTS) --out build/bench/engine.json

model: .venv/.dev ## train the shipped ecg5 again, and write all that follows from it (a quarter of an hour)
	$(BIN)/ecg-edge train --out build/run/ecg5 --seed 2 --force
	$(BIN)/ecg-edge quantize build/run/ecg5 --out models/ecg5 --force $(ARENAS)
	-$(BIN)/python tools/real_ecg.py models/ecg5 --card
	$(BIN)/python tools/image.py
	$(BIN)/python tools/golden.py

beats: .venv/.dev ## train the shipped aami again, with its cross-validation (needs ../shared/data; ten minutes)
	$(BIN)/ecg-edge train --beats $${ECG_EDGE_DATA:-../shared/data}/mitdb --cross-validate --seed 1 --out build/run/aami --force
	$(BIN)/ecg-edge quantize build/run/aami --out models/aami --tried tools/aami_trials.txt --force
	$(BIN)/python tools/golden.py

identity: .venv/.dev ## hold an emulated Cortex-M4 to the golden models: WINDOWS, MIT-BIH records, all beats of DS1
	@tools/system.sh $(HOST_PACKAGES) $(ARM_PACKAGES) qemu-system-arm
	$(BIN)/python tools/m4_identity.py --windows $(WINDOWS) --out build/m4/identity.json
	$(BIN)/python tools/beat_identity.py --out build/m4/beats.json

golden: .venv/.dev ## write tests/golden again from the tflite-micro wheel
	$(BIN)/python tools/golden.py

size: .venv/.demo ## flash, RAM and stack of core, engine and models on a Cortex-M4, and what a beat costs, against budgets
	@tools/system.sh $(ARM_PACKAGES) qemu-system-arm
	$(BIN)/python tools/size.py ecg5
	$(BIN)/python tools/size.py aami
	$(BIN)/python tools/beat_cost.py

lock: .venv/.dev ## resolve requirements/*.lock again, hashed and without index names
	$(INSTALL) uv
	$(call compile,--universal,requirements/demo.lock,--extra report requirements/build.txt)
	$(call compile,--python-platform x86_64-manylinux_2_28,requirements/dev.lock,--extra dev)
	$(call compile,--python-platform aarch64-manylinux_2_36,requirements/pi.lock,--extra pi requirements/pi.txt)

clean: ## remove what was built, .venv excepted
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Without them some tests are skipped, and say so; under ECG_STRICT=1 that is a failure, so it ends here.
test_packages = @tools/system.sh $(TEST_PACKAGES) || test "$${ECG_STRICT:-}" != 1

# $(call compile,platform,output,what)
compile = $(BIN)/uv pip compile --quiet --no-config --upgrade $(1) --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	--constraint requirements/constraints.txt pyproject.toml $(3) --output-file $(2)

.venv/bin/python:
	@PYTHON="$(PYTHON)" tools/system.sh python3-venv
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, not " + sys.version)'
	"$(PYTHON)" -m venv .venv

# $(call install,lock): the locked packages, then this one in place.
install = $(INSTALL) --require-hashes -r $(1) && $(INSTALL) --no-deps --no-build-isolation -e . && touch $@

.venv/.demo: requirements/demo.lock pyproject.toml | .venv/bin/python
	$(call install,requirements/demo.lock)

.venv/.dev: requirements/dev.lock pyproject.toml | .venv/bin/python
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "the dev lock is for Python 3.11: rm -r .venv && make PYTHON=python3.11")'
	$(call install,requirements/dev.lock)
	@touch .venv/.demo # the dev set holds the demo's
