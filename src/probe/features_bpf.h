/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features_bpf.h - one attempt per kernel facility, undone before the function returns. Of
 * `clew doctor`, and of a layer's loading. All return 0 or -errno.
 */
#ifndef CLEW_PROBE_FEATURES_BPF_H
#define CLEW_PROBE_FEATURES_BPF_H

#include <stdbool.h>

struct btf;

#define CLEW_HOOKED "inet_sendmsg" /* the fexit and kprobe layers sit on it */

int features_bpf__load(void); /* a program of a kind that may read kernel memory */
int features_bpf__ringbuf(void);
int features_bpf__raw_tracepoint(void);
/* On a kernel function by name; -ENOENT: the kernel was built without the facility. */
int features_bpf__fexit(const char *fn);
int features_bpf__kprobe(const char *fn);
/*
 * On a function of this program, which is then called: -EIO when the probe attached but was
 * not hit.
 */
int features_bpf__uprobe(void);
int features_bpf__uprobe_multi(void);

bool features_bpf__enum_has(const struct btf *btf, const char *type, const char *name);
/* strerror(), and the number that kernels use inside and sometimes let out (ENOTSUPP). */
const char *features_bpf__strerror(int err);

#endif
