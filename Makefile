# SPDX-License-Identifier: MIT
# The front door. Everything that is long happens once and is kept; see docs/setup.md.

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

# The kernel to test on: stock, debug, or custom when KDIR names a built tree. If it is
# not said, .config decides (see harness/Kconfig), else it is stock.
LANE ?=
# Workers, each with a virtual machine of its own.
JOBS ?= $(shell nproc)
# Run only tests that match, as pytest's -k.
K ?=
# Further arguments for pytest, or names of benchmarks.
ARGS ?=
# How long to fuzz, and an input to run again instead.
FUZZ_MINUTES ?= 10
REPLAY ?=

VENV := .venv
READY := $(VENV)/.ready
PYTHON_BIN := $(VENV)/bin/python
VNPU := $(VENV)/bin/vnpu
# Reads harness/Kconfig, writes .config.
KCONFIG := KCONFIG_CONFIG='$(CURDIR)/.config' srctree='$(CURDIR)' $(PYTHON_BIN) -m
PYTEST := $(PYTHON_BIN) -m pytest -q $(if $(K),-k '$(K)')
REPORTS := build/report

export KDIR KERNEL KERNEL_VERSION QEMU QEMU_SRC VNPU_CACHE
# Compiled Python is kept, which saves each run seconds, but not between the sources.
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup qemu-test check check-bare bench boot menuconfig defconfig doctor lint format unit setup-test abi device device-asan fuzz \
	kunit upstream mutants spec uapi abi-golden pins clean distclean

help: ## what can be made
	@echo 'make TARGET [LANE=stock|debug] [KERNEL_VERSION=7.3] [KDIR=DIR] [JOBS=N] [K=EXPRESSION]'
	@echo '     [ARGS=...]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | \
		awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

# An environment names its checkout: a copy, or one that was moved, needs its own.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

$(READY): pyproject.toml harness/setup.sh harness/requirements.txt $(addprefix harness/vnpu/artifacts/data/packages.,txt sh)
	@sh harness/setup.sh

setup: $(READY) ## install what is missing on this machine, make .venv

qemu-test: $(READY) ## build what is missing, boot, run the end-to-end tests
	@$(VNPU) test $(if $(LANE),--lane $(LANE)) --jobs $(JOBS) $(if $(K),-k '$(K)') -- $(ARGS)

check: $(READY) ## every gate: lint, unit, ABI, set-up, device, both kernels, KUnit
	@$(PYTHON_BIN) tools/check.py --jobs $(JOBS) $(if $(BARE),--bare)

check-bare: $(READY) ## on bare machines, as root; VARIANT=debian12, debian12-user or debian13
	@$(PYTHON_BIN) tools/bare/check_bare.py $(addprefix --variant=,$(VARIANT)) \
		JOBS=$(JOBS) $(if $(K),K='$(K)') $(if $(ARGS),ARGS='$(ARGS)')

bench: $(READY) ## measure; ARGS names benchmarks
	@$(PYTHON_BIN) tests/bench/run.py $(if $(LANE),--lane $(LANE)) $(ARGS)

boot: $(READY) ## a shell in a guest with the driver loaded
	@$(VNPU) boot $(if $(LANE),--lane $(LANE))

menuconfig: $(READY) ## choose driver's options, default kernel, machine; writes .config
	@$(KCONFIG) menuconfig harness/Kconfig

defconfig: $(READY) ## .config with what applies without one
	@$(KCONFIG) alldefconfig harness/Kconfig

doctor: ## what this machine has, and what is missing
	@sh harness/doctor.sh

lint: $(READY) ## ruff, types, generated files, checkpatch, sparse; ARGS=quick or slow
	@$(PYTHON_BIN) tools/lint.py $(ARGS)

format: $(READY) ## format the Python sources
	@$(VENV)/bin/ruff check --fix-only -q . && $(VENV)/bin/ruff format .

unit: $(READY) ## tests that need nothing but Python and a compiler
	@$(PYTEST) tests/unit -n $(JOBS) --maxschedchunk 1 --junitxml $(REPORTS)/unit.xml $(ARGS)

setup-test: $(READY) ## set-up, doctor and the package, on machines that lack things
	@$(PYTEST) tests/setup -n $(JOBS) --dist loadfile --junitxml $(REPORTS)/setup.xml $(ARGS)

abi: $(READY) ## the uAPI header: layout, 32 against 64 bits, golden file
	@$(PYTEST) tests/abi --junitxml $(REPORTS)/abi.xml $(ARGS)

device: $(READY) ## the device alone, without a guest
	@$(VNPU) prepare qemu
	@$(PYTEST) tests/device -n $(JOBS) --junitxml $(REPORTS)/device.xml \
		--traffic build/fuzz/traffic $(ARGS)

device-asan: $(READY) ## the same with sanitizers in the device
	@VNPU_SANITIZE=1 $(VNPU) prepare qemu
	@VNPU_SANITIZE=1 $(PYTEST) tests/device -n $(JOBS) --junitxml $(REPORTS)/device-asan.xml $(ARGS)

fuzz: $(READY) ## feed the device's core with nonsense; FUZZ_MINUTES=10, REPLAY=FILE
	@$(PYTHON_BIN) tests/fuzz/run.py --minutes $(FUZZ_MINUTES) $(if $(REPLAY),--replay '$(REPLAY)')

upstream: $(READY) ## test the patches for other projects' code (builds a kernel: minutes)
	@$(PYTHON_BIN) tools/upstream.py

kunit: $(READY) ## the driver's unit tests, inside the debug kernel
	@$(VNPU) test --lane debug --jobs 1 tests/kunit -- $(ARGS)

mutants: $(READY) ## put known bugs in, one at a time: do the tests notice? ARGS names them
	@$(PYTHON_BIN) tools/mutants/mutants.py --jobs $(JOBS) $(ARGS)

spec: $(READY) ## regenerate the hardware header and manual from spec/vnpu.yaml
	@$(PYTHON_BIN) spec/generate.py

uapi: $(READY) ## regenerate the Python of the uAPI from the C header
	@$(PYTHON_BIN) -m vnpu.uapi

abi-golden: $(READY) ## accept a changed uAPI as the promised one
	@$(PYTHON_BIN) -m vnpu.uapi --golden tests/abi/golden.txt

pins: ## newest releases of the Python packages, for set-up to install
	@sh tools/pins.sh

clean: ## remove what was built here and the driver's builds in the cache
	@rm -rf build
	@sh harness/clean.sh

distclean: ## remove the environment and the whole cache as well
	@sh harness/clean.sh --all
	@rm -rf build $(VENV) harness/*.egg-info
