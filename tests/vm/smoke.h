/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* smoke.h - the slots in which smoke.bpf.c counts, for it and for smoke.c. */
#ifndef CLEW_TESTS_VM_SMOKE_H
#define CLEW_TESTS_VM_SMOKE_H

#define SMOKE_AF_INET 2

enum smoke_slot {
	SMOKE_FEXIT,	  /* fexit on a kernel function */
	SMOKE_CORE,	  /* a field read there at an offset relocated by CO-RE */
	SMOKE_RING,	  /* a record put in a ring buffer */
	SMOKE_KPROBE,	  /* kprobe */
	SMOKE_KRETPROBE,  /* kretprobe */
	SMOKE_RAW_TP,	  /* raw tracepoint */
	SMOKE_TP_BTF,	  /* raw tracepoint with types */
	SMOKE_TRACEPOINT, /* tracepoint of a system call, through tracefs */
	SMOKE_UPROBE,	  /* uprobe on a function of smoke.c itself */
	SMOKE_SLOTS,
};

#endif
