# SPDX-License-Identifier: Apache-2.0
#
# Proofs in virtual machines with other kernels. VM_KERNELS="6.1 6.12" takes fewer of them.
VM_ALL := 5.10 6.1 6.12 sid
VM_KERNELS ?= $(VM_ALL)
VM_B := $(B)/tests/vm
VM_INC := -idirafter /usr/include/$(MULTIARCH)
VM_TOOLS := $(VM_B)/smoke $(VM_B)/smoke.bpf.o $(VM_B)/smoke_fexit.bpf.o

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

# Are the guests sound, and does vmlinux/ tell the truth about the kernels? The second needs all
# of them at once, but no guest.
.PHONY: check-vm check-vm-tools check-vm-types check-vm-smoke $(VM_KERNELS:%=check-vm-smoke-%)
check-vm: check-vm-tools check-vm-types check-vm-smoke
check-vm-smoke: $(VM_KERNELS:%=check-vm-smoke-%)
$(VM_KERNELS:%=check-vm-smoke-%): check-vm-smoke-%: $(VM_TOOLS)
	$(Q)tests/vm/run.py $* --out $(VM_B)/out-$* -- tests/vm/smoke.sh $(VM_B)

check-vm-types:
	$(Q)tests/vm/btf_check.py $(VM_ALL) --complete --header vmlinux/vmlinux.h

check-vm-tools:
	$(Q)tests/vm/test_vm.py

# What tracing costs the target, in instructions. TRACER is the command that is paid for.
BENCH_COUNTED_KERNEL ?= 6.1
.PHONY: bench-counted
bench-counted: $(VM_B)/load
	$(Q)tests/vm/counted.py $(BENCH_COUNTED_KERNEL) --load $(VM_B)/load $(if $(TRACER),-- $(TRACER))

# The end-to-end suite on the attach layers that need another kernel. Slow: the guest is emulated.
# T=test_backbone:test_concurrency_8 takes less of it.
VM_E2E_KERNEL ?= 6.1
VM_LAYERS ?= fentry kprobe
.PHONY: check-vm-e2e
check-vm-e2e: all apps
	$(Q)for layer in $(VM_LAYERS); do \
		tests/vm/run.py $(VM_E2E_KERNEL) --mem 4096 --timeout 3000 -- env B=$(B) HOME=$(HOME) \
			CLEW_E2E_SCALE=8 CLEW_E2E_LAYER=$$layer $(PYTHON3) tests/e2e/run.py $(T) || exit 1; \
	done
