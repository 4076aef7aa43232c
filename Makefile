# SPDX-License-Identifier: Apache-2.0
# The few commands that a person types; Meson builds (meson.build), scripts/ does the work.
# Each command installs what is missing first (or prints the one line to run, without root).

PREFIX ?= /usr/local
DESTDIR ?=
VECTORS ?=
FUZZ_SECONDS ?= 10
SOAK_SECONDS ?= 600
SEEDS ?= 1000
SEED ?=
PEERS ?=

export PREFIX DESTDIR PEERS

all: programs

help:
	@echo 'make                        build build/sottod and build/sotto'
	@echo 'make run                    a relay, two people and their first conversation'
	@echo 'make test [VECTORS=DIR]     all tests; with the large vector sets'
	@echo 'make sanitize               the tests under ASan + UBSan and under TSan'
	@echo 'make fuzz [FUZZ_SECONDS=10] each fuzz target for that long'
	@echo 'make fuzz-coverage          how much of each parser its corpus reaches'
	@echo 'make sim [SEEDS=1000] [SEED=N] relay and clients in a simulated world; SEED plays one again'
	@echo 'make soak [SOAK_SECONDS=600]  the long tests, and long fuzzing'
	@echo 'make bench, make bench-NAME all benchmarks, or one (bench-e2ee)'
	@echo 'make bench-relay [PEERS=DIR] the relay under load; beside other servers (bench/bench_relay.py)'
	@echo 'make install [PREFIX=/usr/local] [DESTDIR=]'
	@echo 'make uninstall              leaves all data alone and says where it is'
	@echo 'make clean                  remove what was built (not the pinned C sources in .deps)'

programs:
	@scripts/install-deps.sh build
	@scripts/build.sh plain programs

# Tests need everything, also what is not installed.
everything:
	@scripts/install-deps.sh build test
	@scripts/build.sh plain

run: programs
	@scripts/run.sh

test: everything
	@scripts/test.py --build build $(if $(VECTORS),--vectors '$(VECTORS)')

sanitize:
	@scripts/install-deps.sh build test sanitize
	@scripts/sanitize.sh $(if $(VECTORS),--vectors '$(VECTORS)')

fuzz:
	@scripts/install-deps.sh build sanitize
	@scripts/build.sh fuzz fuzz-programs
	@scripts/fuzz.py --build build-fuzz --seconds $(FUZZ_SECONDS)

fuzz-coverage:
	@scripts/install-deps.sh build sanitize
	@scripts/build.sh cov fuzz-programs
	@scripts/fuzz-coverage.py --build build-cov

sim: everything
	@build/tests/sim/sim --jobs 2 $(if $(SEED),--seed '$(SEED)',--seeds '$(SEEDS)' --first "$$(date +%s)000")

soak: everything
	@scripts/install-deps.sh sanitize
	@scripts/build.sh fuzz fuzz-programs
	@SOAK_SECONDS=$(SOAK_SECONDS) scripts/test.py --build build --only soak
	@scripts/fuzz.py --build build-fuzz --seconds $(SOAK_SECONDS)

bench: everything
	@scripts/bench.sh

bench-%: everything
	@scripts/bench.sh $*

install: programs
	@scripts/install.sh install

uninstall:
	@scripts/install.sh uninstall

clean:
	rm -rf build build-asan build-tsan build-fuzz build-cov

.PHONY: all help programs everything run test sanitize fuzz fuzz-coverage sim soak bench install \
	uninstall clean
