# Targets that prove things, and those that prepare for them; see docs/testing.md.
# T=name selects tests where a target runs several.

PYTHON3 ?= python3
BINS := $(B)/apps
comma := ,

# ---- test applications --------------------------------------------------------------------------
APP_CFLAGS = -std=gnu11 -O2 -g -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow

$(BINS)/%: tests/apps/%.c
	$(say) APP $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(APP_CFLAGS) -o $@ $<

$(BINS)/gosvc: $(wildcard tests/apps/svc/*.go)
	$(say) GO $@
	@mkdir -p $(@D)
	$(Q)cd tests/apps/svc && GO111MODULE=off go build -o $(abspath $@) .

.PHONY: apps
apps: $(BINS)/load $(BINS)/leaf $(BINS)/gosvc

# ---- what must be installed ---------------------------------------------------------------------
.PHONY: deps deps-build deps-demo
deps:
	$(Q)tools/deps.sh build demo test truth
deps-build:
	$(Q)tools/deps.sh build
deps-demo:
	$(Q)tools/deps.sh build demo

# ---- proofs -------------------------------------------------------------------------------------
# check: no root needed, under ASan and UBSan. check-e2e, check-truth, bench: root, real servers.
.PHONY: check check-harness check-e2e check-truth check-loss bench bench-quick bench-otel bench-replay test demo run
check: check-unit check-harness

# The judges themselves: does the checker fail what is wrong, are the applications as documented?
check-harness: apps
	$(Q)$(PYTHON3) tests/truth/test_check.py
	$(Q)$(PYTHON3) tests/truth/test_apps.py

check-e2e: all apps $(B)/tests/e2e/otlp/send_spans
	$(Q)B=$(B) $(PYTHON3) tests/e2e/run.py $(T)

# The whole of it takes some two hours and writes docs/truth.md and its summary in README.md;
# truth-table writes them from the cells of earlier runs, FROM="A.json B.json".
check-truth: all apps
	$(Q)B=$(B) $(PYTHON3) tests/truth/run.py --json $(B)/truth.json --md $(B)/truth.md \
		$(if $(CONC),--conc $(CONC)) $(if $(COUNT),--count $(COUNT)) $(T)$(if $(T)$(CONC)$(COUNT),,; \
		code=$$?; $(PYTHON3) tests/truth/table.py $(B)/truth.json; exit $$code)
.PHONY: truth-table
truth-table:
	$(Q)$(PYTHON3) tests/truth/table.py $(or $(FROM),$(B)/truth.json)

# The same, short, and whether the harness would notice: runs the rows of CI, replays them damaged
# and with agents that are broken on purpose.
.PHONY: check-truth-ci check-truth-lossy check-truth-mutations
check-truth-ci: all apps
	$(Q)B=$(B) $(PYTHON3) tests/truth/run.py --conc $(or $(CONC),3$(comma)8) ci
	$(Q)B=$(B) $(PYTHON3) tests/truth/lossy.py --seeds 1
	$(Q)$(MAKE) --no-print-directory check-truth-mutations

# On the cells that the last runs of check-truth left.
check-truth-lossy: all
	$(Q)B=$(B) $(PYTHON3) tests/truth/lossy.py

MUTATIONS := $(patsubst tests/truth/mutations/%.patch,%,$(wildcard tests/truth/mutations/*.patch))
$(B)/mutants/%/clew: tests/truth/mutations/%.patch $(B)/clew
	$(say) MUTANT $@
	$(Q)rm -rf $(@D) && mkdir -p $(@D)/src && cp -r src/correlate $(@D)/src
	$(Q)patch -s -p1 -d $(@D) < $<
	$(Q)$(CC) -I$(@D)/src $(CFLAGS_ALL) $(CPPFLAGS_ALL) -o $@ $(@D)/src/correlate/*.c $(BIN_OBJ) \
		$(B)/libclew.a $(LIBS)

check-truth-mutations: $(MUTATIONS:%=$(B)/mutants/%/clew)
	$(Q)B=$(B) $(PYTHON3) tests/truth/mutations.py \
		$(foreach m,$(MUTATIONS),$(m)=$(B)/mutants/$(m)/clew)

# Faults of receivers, disks, processes and limits; FAULTS=long: with the numbers of the long form.
.PHONY: check-faults
check-faults: all apps
	$(Q)B=$(B) FAULTS=$(FAULTS) $(PYTHON3) tests/e2e/run.py --in tests/faults $(T)
FAULTS ?= long

check-loss: all apps
	$(Q)B=$(B) LOSS_COUNT=$(or $(LOSS_COUNT),1000000) $(PYTHON3) tests/e2e/run.py test_loss

bench: all apps
	$(Q)B=$(B) $(PYTHON3) tests/bench/bench.py --json $(B)/bench.json --md docs/bench.md $(T)
# What `bench` compares with: the OpenTelemetry SDK's zero-code instrumentation, once.
OTEL_PY := opentelemetry-distro opentelemetry-exporter-otlp-proto-http \
	opentelemetry-instrumentation-fastapi opentelemetry-instrumentation-httpx
bench-otel: all apps $(B)/otel/.done
	$(Q)B=$(B) $(PYTHON3) tests/bench/bench.py --json $(B)/bench.json --md docs/bench.md \
		$(or $(T),python-otel httpx-otel node-otel)
$(B)/otel/.done:
	$(Q)mkdir -p $(@D)
	$(Q)/usr/bin/python3 -m venv --system-site-packages $(@D)/venv
	$(Q)$(@D)/venv/bin/pip install --quiet $(OTEL_PY)
	$(Q)npm install --silent --no-audit --no-fund --prefix $(@D) @opentelemetry/api \
		@opentelemetry/auto-instrumentations-node
	$(Q)touch $@
# Userspace alone, from a recording: no root.
bench-replay: $(B)/tests/bench/bench_replay
	$(Q)$< $(B)/bench-replay.clew
$(B)/tests/bench/bench_replay: tests/bench/bench_replay.c $(B)/libclew.a
	$(say) BENCH $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -o $@ $< $(B)/libclew.a $(LIBS)
bench-quick: all apps
	$(Q)B=$(B) $(PYTHON3) tests/bench/bench.py --quick --json $(B)/bench.json $(T)

# What CI runs: every proof that needs no virtual machine. One command after a clone.
test:
	$(Q)tools/deps.sh build demo test
	$(Q)B=$(B) tools/test.sh

demo:
	$(Q)tools/deps.sh build demo
	$(Q)$(MAKE) --no-print-directory all apps
	$(Q)B=$(B) $(PYTHON3) tools/demo/demo.py

run: all
	$(Q)$(B)/clew run --export console $(ARGS)

# ---- fuzzing: every tests/fuzz/fuzz_NAME.c, with its corpus in tests/fuzz/corpus/NAME ------------
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
ifneq ($(T),)
FUZZ_SEL := $(filter tests/fuzz/fuzz_$(T).c,$(FUZZ_SRC))
else
FUZZ_SEL := $(FUZZ_SRC)
endif
FUZZ_SAN := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FUZZ_SECONDS ?= 300

# Library and targets are built by clang in a folder of their own; B is that folder inside.
FUZZ_MAKE = $(MAKE) --no-print-directory CC=$(CLANG) $(FUZZ_SEL:tests/fuzz/%.c=$(FUZZ_B)/%)
.PHONY: fuzz fuzz-short fuzz-build fuzz-coverage fuzz-keep
fuzz-build: FUZZ_B = $(B)/fuzz
fuzz-build:
	$(Q)$(FUZZ_MAKE) B=$(FUZZ_B) CFLAGS='-O1 -g' SAN='$(FUZZ_SAN)'

$(B)/fuzz_%: tests/fuzz/fuzz_%.c $(B)/libclew.a
	$(say) FUZZ $@
	$(Q)$(CC) $(filter-out -Wmissing-prototypes,$(CFLAGS_ALL)) $(CPPFLAGS_ALL) \
		-fsanitize=fuzzer -o $@ $< $(B)/libclew.a $(LIBS)

# bpf/lib as an ordinary program: tests/native stands in for the kernel and libbpf's headers.
NATIVE_BPF = -Itests/native -Ibpf -Ivmlinux
$(B)/fuzz_bpf: private CPPFLAGS += $(NATIVE_BPF)
$(B)/fuzz_bpf: $(BPF_HDR) $(wildcard tests/native/*.h tests/native/bpf/*.h)
$(B)/tests/unit/bpf/%: private CPPFLAGS += $(NATIVE_BPF)

fuzz: fuzz-build
	$(Q)$(PYTHON3) tests/fuzz/run.py --seconds $(FUZZ_SECONDS) --build $(B)/fuzz $(FUZZ_SEL)
# Every target, less than a minute in all.
fuzz-short:
	$(Q)$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=$(if $(filter command line environment,$(origin FUZZ_SECONDS)),$(FUZZ_SECONDS),3)

# The lines of every parser that the corpora reach; fuzz-keep adds what `make fuzz` found to them.
fuzz-coverage: FUZZ_DO = --coverage
fuzz-keep: FUZZ_DO = --keep $(B)/fuzz/corpus
fuzz-coverage fuzz-keep: FUZZ_B = $(B)/coverage
fuzz-coverage fuzz-keep:
	$(Q)$(FUZZ_MAKE) B=$(FUZZ_B) CFLAGS='-O1 -g' \
		SAN='-fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping'
	$(Q)$(PYTHON3) tests/fuzz/run.py $(FUZZ_DO) --build $(FUZZ_B) --llvm $(CLANG:clang%=%) $(FUZZ_SEL)

# ---- style --------------------------------------------------------------------------------------
.PHONY: lint format asan
lint:
	$(Q)tools/lint.sh

format:
	$(Q)git ls-files --cached --others --exclude-standard | grep -E '^(src|include|bpf|tests)/.*\.[ch]$$' | \
		xargs $(or $(CLANG_FORMAT),clang-format-19) -i

# The agent itself under ASan and UBSan: $(B)/asan/clew; CLEW=$(B)/asan/clew make check-e2e uses it.
asan:
	$(Q)$(MAKE) --no-print-directory B=$(B)/asan CFLAGS='-O1 -g' SAN='$(SANFLAGS)' $(B)/asan/clew

# ---- install ------------------------------------------------------------------------------------
.PHONY: install uninstall
install: all
	install -d $(DESTDIR)$(prefix)/bin
	install -m 755 $(B)/clew $(DESTDIR)$(prefix)/bin/clew
uninstall:
	rm -f $(DESTDIR)$(prefix)/bin/clew
