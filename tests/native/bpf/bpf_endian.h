/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_endian.h - for tests/native; see bpf_helpers.h beside it. */
#define bpf_ntohs(x) __builtin_bswap16(x)
