/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_tracing.h - empty: tests/native runs the core of bpf/lib, not the programs around it. */
