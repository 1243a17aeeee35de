/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privileges.h - after attaching, keep only what later attaching needs: CAP_BPF, CAP_PERFMON,
 * CAP_SYS_PTRACE (other processes' memory and files), CAP_DAC_READ_SEARCH (their binaries),
 * CAP_SYS_NICE (to catch up when the ring fills),
 * and CAP_SYS_ADMIN only where the kernel has no CAP_BPF (before 5.8).
 */
#ifndef CLEW_BASE_PRIVILEGES_H
#define CLEW_BASE_PRIVILEGES_H

#include <stddef.h>

/* 0, or -errno with a line in errbuf. Nothing happens without privileges to drop. */
int clew_privileges__drop(char *errbuf, size_t n);

#endif
