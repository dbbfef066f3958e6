# `make demo` and `make test` work on a fresh Debian 12 with root, git, make and python3: they install what is missing.

VENV := .venv
PYTHON := $(VENV)/bin/python
PYTEST := $(PYTHON) -m pytest

# Runs pytest with $(3) on those of the folders $(1) that exist, behind $(2). No test in them yet (status 5) is no failure.
suites = $(if $(wildcard $(1)),$(2) $(PYTEST) $(3) $(wildcard $(1)) || test $$? -eq 5,@echo "no tests yet: $(1)")
# What needs nothing of the machine to itself goes over all its cores.
SPREAD := -n auto
# In a network of its own, so that no test can reach the machine's.
APART := $(PYTHON) tools/private_network.py
# So is each of several workers: they are like machines that do not see each other.
WORKERS := $(shell nproc)
APART_EACH := --dist worksteal --tx '$(WORKERS)*popen//python=$(APART) $(PYTHON)'

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup check test test-ovn crash test-stock equivalence faults store-faults mutate demo openapi bench proto guest man lock clean packages-demo \
	packages-test

help:
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1 - \2/p' $(MAKEFILE_LIST)

setup: packages-test $(VENV)/project ## install everything, do nothing else

check: $(VENV)/project ## format, lint, types, import rules, generated code, and the tests that need no root
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy tools bench
	$(VENV)/bin/lint-imports --no-logo
	$(PYTHON) tools/generate_proto.py --check
	$(call suites,tests/unit tests/property tests/golden,,$(SPREAD))

test: packages-test check ## everything: the checks, and every other suite
	$(call suites,tests/contract tests/sim,,$(APART_EACH))
	$(call suites,tests/system,,$(APART_EACH) -m 'not shared')
	$(call suites,tests/system,,$(APART_EACH) -m shared)
	$(call suites,$(OVN_TESTS),WEFT_TEST_VARIANTS=ovn,$(APART_EACH))
	$(call stock,900,bridges vlan,-m stock -k 'not (br_netfilter and vlan)' tests/system)

# What speaks of packets, whatever carries them, and what an OVN of our own must survive.
OVN_TESTS := $(foreach of,groups dhcp isolation nat spoofing changes ports flow_logs ovn_daemons,tests/system/test_$(of).py)

test-ovn: packages-test $(VENV)/project ## the packet tests over an OVN of our own
	$(call suites,$(OVN_TESTS),WEFT_TEST_VARIANTS=ovn,$(APART_EACH))

crash: packages-test $(VENV)/project ## kill the node at every crash point there is (10 minutes; `make test` tries a part of them)
	WEFT_CRASH_ALL=1 $(call suites,tests/system/crash,$(APART))

# Runs pytest on a stock Debian kernel: $(1) s at most, over the data planes $(2) one after the other, with arguments $(3).
# Compiled before, because what the guest compiles is lost. Emulated, it is about 15 times slower: tests wait longer.
stock = $(PYTHON) -m compileall -q src tests && \
	$(PYTHON) tools/stock_kernel.py --timeout $(1) --env WEFT_TEST_PATIENCE=5 --env "WEFT_TEST_VARIANTS=$(2)" -- \
	$(PYTEST) -p no:cacheprovider $(3)
STOCK_VARIANTS := bridges vlan docker docker-vlan br_netfilter
# Crash points restart the server hundreds of times, which has nothing to do with the kernel.
STOCK_ARGS := -m system --ignore tests/system/crash tests/system
STOCK_TIMEOUT_S := 7200

test-stock: packages-test $(VENV)/project ## system tests on a stock Debian kernel; STOCK_VARIANTS="..." STOCK_ARGS="..."
	$(call stock,$(STOCK_TIMEOUT_S),$(STOCK_VARIANTS),$(STOCK_ARGS))

N := 1000
FIRST_SEED := $(shell date +%s)
PLANE := both

equivalence: packages-test $(VENV)/project ## send N=1000 random cases through a data plane and the reference model; PLANE=linux|ovn|both FIRST_SEED=...
	$(APART) $(PYTHON) -m weftwork.testing.equivalence $(N) $(FIRST_SEED) $(PLANE)

FAULTS := 500
PROGRAMS := 10000

faults: $(VENV)/project ## seed FAULTS=500 faults into programs, all to be found; judge PROGRAMS=10000 right ones, on Linux and OVN (an hour)
	$(PYTHON) -m weftwork.testing.faults $(FAULTS) $(PROGRAMS)

KILLS := 20

store-faults: packages-test $(VENV)/project ## kill etcd's leader and PostgreSQL KILLS=20 times under 16 writers, fill their disks, kill servers
	WEFT_STORE_KILLS=$(KILLS) $(call suites,tests/contract/store/test_store_faults.py tests/contract/store/test_servers.py,$(APART))

mutate: packages-test $(VENV)/project ## put 30 faults and more into each compiler, and see whether the suite finds them (20 minutes)
	$(APART) $(PYTHON) -m weftwork.testing.mutation

demo: packages-$(if $(filter-out 0,$(VM)),test,demo) $(VENV)/project ## two tenants on this machine, told packet by packet; BACKEND=ovn KEEP=1; VM=1: with a microVM for each
	BACKEND=$(BACKEND) $(PYTHON) -m weftwork.apps.$(if $(filter-out 0,$(VM)),demo_vms,demo)

CASES := 1000

openapi: packages-test $(VENV)/project ## hold the REST server against its OpenAPI document, CASES=1000 requests of a sort for each path
	WEFT_REST_CASES=$(CASES) $(PYTEST) -q -s tests/contract/api/test_openapi.py

bench: packages-test $(VENV)/project ## measure against peers on this machine
	$(PYTHON) -m bench

guest: packages-test ## build the init of microVMs, build/guest/init, from guest/
	$(PYTHON) tools/build_guest.py

man: $(VENV)/project ## write the manual page, build/weft.1, from the commands
	@mkdir -p build
	$(VENV)/bin/weft man > build/weft.1

proto: $(VENV)/project ## generate the protobuf code from proto/
	$(PYTHON) tools/generate_proto.py

UV := build/uv/bin/uv
LOCK := $(UV) pip compile pyproject.toml --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-header --python-version 3.11

lock: $(UV) ## write the lock files anew from pyproject.toml; UPGRADE=1 takes the newest versions
	$(LOCK) $(if $(UPGRADE),--upgrade) --output-file requirements.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) --extra dev --output-file requirements-dev.lock

$(UV):
	python3 -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv

clean: ## remove what was made here; Debian packages stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf src/*.egg-info
	find src tests tools bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# --- what the above need ---------------------------------------------------------------------------------------

packages-demo:
	@python3 tools/install_packages.py demo$(if $(filter ovn,$(BACKEND)),-ovn)

packages-test:
	@python3 tools/install_packages.py test

PIP := $(PYTHON) -m pip install --disable-pip-version-check --progress-bar off --quiet

# The locked packages: only what the lock file's hashes say, and again only when it changes.
$(VENV)/packages: requirements-dev.lock
	@echo "installing Python packages into $(VENV) (about a minute)"
	@python3 -m venv $(VENV)
	@$(PIP) --require-hashes --no-deps --only-binary :all: --requirement requirements-dev.lock
	@touch $@

# The project itself, in place: changes in src/ count at once.
$(VENV)/project: $(VENV)/packages pyproject.toml
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
