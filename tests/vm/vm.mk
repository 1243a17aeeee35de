# SPDX-License-Identifier: Apache-2.0
#
# Proofs in virtual machines with other kernels. VM_KERNELS="6.1 6.12" takes fewer of them.
VM_ALL := 5.10 6.1 6.12 sid
VM_KERNELS ?= $(VM_ALL)
VM_SHORT ?= 5.10 sid 6.1:load 6.12:load
VM_B := $(B)/tests/vm
VM_INC := -idirafter /usr/include/$(MULTIARCH)
VM_TOOLS := $(addprefix $(VM_B)/,smoke smoke.bpf.o smoke_fexit.bpf.o stack.bpf.o deeds verify)

$(VM_B)/%.bpf.o: tests/vm/%.bpf.c tests/vm/smoke.h
	$(say) BPF $<
	@mkdir -p $(@D)
	$(Q)$(CLANG) -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -g -O2 -mcpu=v2 -Wall -Wextra -Werror \
		-Wno-unused-parameter $(VM_INC) -c $< -o $@

$(VM_B)/smoke: tests/vm/smoke.c tests/vm/smoke.h
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -o $@ $< -lbpf -lelf -lz

$(VM_B)/load: tests/vm/load.c
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -D_GNU_SOURCE -o $@ $<

$(VM_B)/deeds: tests/vm/deeds.c tests/vm/deeds_move.c tests/vm/deeds.h
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -D_GNU_SOURCE -pthread -o $@ $(filter %.c,$^)

$(VM_B)/verify: tests/vm/verify.c $(SKEL) $(B)/libclew.a
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -o $@ $< $(B)/libclew.a -lbpf -lelf -lz

# Every BPF program that this kernel has a hook for, by its own verifier: what each needed. Root.
.PHONY: check-bpf
check-bpf: $(VM_B)/verify
	$(Q)$<

# clew on other kernels, and whether vmlinux/ tells the truth about them. check-vm-short: the oldest
# and the newest, without the end-to-end suite; that the programs load on those between. VM_UPDATE=1 accepts what the verifier needs now.
.PHONY: check-vm check-vm-short check-vm-tools check-vm-types
check-vm: check-vm-tools check-vm-types all apps $(VM_TOOLS)
	$(Q)tests/vm/matrix.py $(B) --kernels "$(VM_KERNELS)" $(if $(VM_UPDATE),--update)
check-vm-short: check-vm-tools all $(VM_TOOLS)
	$(Q)tests/vm/matrix.py $(B) --kernels "$(VM_SHORT)" --layers fentry,kprobe --short $(if $(VM_UPDATE),--update)

check-vm-types:
	$(Q)tests/vm/btf_check.py $(VM_ALL) --complete --header vmlinux/vmlinux.h

check-vm-tools:
	$(Q)tests/vm/test_vm.py

# What tracing costs the target, in instructions: clew's rows and layers against the figures that
# were accepted, or TRACER, the command that is paid for. COUNTED="--rows go --update" takes more.
BENCH_COUNTED_KERNEL ?= 6.1
.PHONY: bench-counted bench-counted-short
# One cell, the one that a change of the hooks shows in: part of `make test`. Three pairs are up to 1.2 %
# apart, so what is asked here is the median alone.
bench-counted-short: COUNTED = --rows nginx --layers fentry --requests 1500 --steady 3
bench-counted bench-counted-short: all apps $(VM_B)/load
	$(Q)tests/vm/counted.py $(BENCH_COUNTED_KERNEL) --load $(VM_B)/load --out $(VM_B)/counted \
		$(if $(TRACER),$(COUNTED) -- $(TRACER),--clew $(B)/clew --gosvc $(BINS)/gosvc \
		--baseline tests/bench/counted.json --requests 4000 --timeout 3000 $(COUNTED))

# The end-to-end suite on the attach layers that need another kernel. Slow: the guest is emulated.
# T=test_backbone:test_concurrency_8 takes less of it.
VM_E2E_KERNEL ?= 6.1
VM_LAYERS ?= fentry kprobe
.PHONY: check-vm-e2e
check-vm-e2e: all apps $(B)/tests/e2e/otlp/send_spans
	$(Q)tools/otelcol/build.sh > /dev/null || true # the guest has no network
	$(Q)for layer in $(VM_LAYERS); do \
		tests/vm/run.py $(VM_E2E_KERNEL) --mem 4096 --timeout 6000 -- env B=$(B) HOME=$(HOME) \
			CLEW_E2E_SCALE=8 CLEW_E2E_LAYER=$$layer LOSS_COUNT=5000 \
			$(PYTHON3) tests/e2e/run.py $(T) || exit 1; \
	done
