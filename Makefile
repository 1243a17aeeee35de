# clew: see README.md. `make V=1` shows every command.
#
# B is the build folder. Everything that is compiled lands there and nowhere else.
B ?= build
CC ?= gcc
CLANG ?= clang-19
BPFTOOL ?= bpftool
ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
BPF_ARCH ?= $(ARCH)
# where the C library keeps <asm/types.h>
MULTIARCH := $(shell gcc -print-multiarch)
prefix ?= /usr/local

ifneq ($(V),1)
Q := @
say = @printf '  %-8s %s\n'
else
say = @true
endif

VERSION := 0.1.0
PKGS := libbpf libelf zlib libcurl yaml-0.1 jansson libprotobuf-c grpc libxxhash
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CFLAGS ?= -O2 -g
# asked once: recipes expand their variables for every file
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
CPPFLAGS_ALL = -D_GNU_SOURCE -DCLEW_VERSION='"$(VERSION)"' -Iinclude -Isrc -I$(B) \
	$(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL = -std=gnu11 -fno-strict-aliasing -fno-omit-frame-pointer $(WARN) $(CFLAGS) $(SAN)
LIBS = $(PKG_LIBS) -lisal -lgpr -lpthread -lm

.PHONY: all
all: $(B)/clew

# ---- BPF: one object per hook family, linked into one, one skeleton --------------------------
# maps.bpf.c first: the linker fixes the offsets of maps only where their definition comes first.
BPF_SRC := bpf/maps.bpf.c $(filter-out bpf/maps.bpf.c,$(sort $(wildcard bpf/*.bpf.c)))
BPF_OBJ := $(BPF_SRC:bpf/%.bpf.c=$(B)/bpf/%.bpf.o)
BPF_HDR := $(wildcard bpf/*.h bpf/lib/*.h vmlinux/*.h include/clew/event.h include/clew/bpf.h)
SKEL := $(B)/clew.skel.h

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(BPF_HDR)
	$(say) BPF $<
	@mkdir -p $(@D)
	$(Q)$(CLANG) -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -DCLEW_OBJECT=$* -g -O2 -mcpu=v2 \
		-Wall -Wextra -Werror -Wno-unused-parameter -idirafter /usr/include/$(MULTIARCH) -Iinclude -Ibpf -Ivmlinux -c $< -o $@

$(B)/clew.bpf.o: $(BPF_OBJ)
	$(say) LINKBPF $@
	$(Q)$(BPFTOOL) gen object $@ $^

$(SKEL): $(B)/clew.bpf.o
	$(say) SKEL $@
	$(Q)$(BPFTOOL) gen skeleton $< name clew_bpf > $@.tmp && mv $@.tmp $@

# ---- OTLP messages for tests and for reading a receiver's answer ------------------------------
$(B)/otlp.pb-c.c: src/export/otlp.proto
	$(say) PROTOC $<
	@mkdir -p $(B)
	$(Q)protoc-c --c_out=$(B) -Isrc/export $<
$(B)/otlp.pb-c.h: $(B)/otlp.pb-c.c

# ---- the agent --------------------------------------------------------------------------------
SRC := $(sort $(wildcard src/*.c src/*/*.c))
LIB_SRC := $(filter-out src/main.c src/cmd_%.c,$(SRC))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(B)/otlp.pb-c.o
BIN_OBJ := $(filter-out $(LIB_OBJ),$(SRC:%.c=$(B)/%.o))

$(B)/otlp.pb-c.o: $(B)/otlp.pb-c.c
	$(Q)$(CC) -std=gnu11 -w $(CFLAGS) $(SAN) $(CPPFLAGS_ALL) -c $< -o $@

$(B)/%.o: %.c | $(SKEL) $(B)/otlp.pb-c.h
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -MMD -MP -c $< -o $@

$(B)/libclew.a: $(LIB_OBJ)
	$(say) AR $@
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/clew: $(BIN_OBJ) $(B)/libclew.a
	$(say) LD $@
	$(Q)$(CC) $(SAN) -o $@ $(BIN_OBJ) $(B)/libclew.a $(LIBS)

# The objects depend on what their headers say; probes also on the skeleton's content.
-include $(LIB_OBJ:.o=.d) $(BIN_OBJ:.o=.d)

# ---- unit tests: every tests/unit/**/test_*.c is one cmocka program, under ASan and UBSan -----
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
TEST_SRC := $(sort $(wildcard tests/unit/*/test_*.c tests/unit/test_*.c))
ifneq ($(T),)
TEST_SRC := $(filter %$(T).c tests/unit/$(T)/%,$(TEST_SRC))
endif
TEST_BIN := $(TEST_SRC:%.c=$(B)/asan/%)

.PHONY: check-unit
check-unit:
	$(Q)$(MAKE) --no-print-directory B=$(B)/asan CFLAGS='-O1 -g' SAN='$(SANFLAGS)' \
		$(TEST_SRC:%.c=$(B)/asan/%)
	$(Q)python3 tests/run_unit.py $(TEST_BIN)

$(B)/tests/unit/%: tests/unit/%.c $(B)/libclew.a
	$(say) TEST $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -Wmissing-prototypes,$(CFLAGS_ALL)) $(CPPFLAGS_ALL) -MMD -MP \
		-MF $@.d -o $@ $< $(B)/libclew.a $(LIBS) -lcmocka

$(B)/tests/e2e/otlp/send_spans: tests/e2e/otlp/send_spans.c $(B)/libclew.a
	$(say) TEST $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -o $@ $< $(B)/libclew.a $(LIBS)

include tests/tests.mk
include tests/vm/vm.mk

.PHONY: clean
clean:
	$(Q)rm -rf $(B)
