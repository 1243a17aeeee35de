/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_core_read.h - reads of kernel objects for tests/native; see bpf_helpers.h beside it. */
#ifndef CLEW_NATIVE_BPF_CORE_READ_H
#define CLEW_NATIVE_BPF_CORE_READ_H

/* Which fields and enumerators the kernel of this test has; tests/native/kernel.h answers. */
_Bool native_exists(const char *what);

#define bpf_core_field_exists(field...)	       native_exists(#field)
#define bpf_core_enum_value_exists(type, name) native_exists(#name)
#define bpf_core_enum_value(type, name)	       (name)
#define bpf_core_type_id_kernel(type)	       0
#define bpf_core_field_offset(type, field)     __builtin_offsetof(type, field)

/*
 * A kernel object has many faces (sock and tcp_sock, an iterator of several releases), which
 * vmlinux.h lets begin at 0, one over the other. Here each face has a place of its own.
 */
#define NATIVE_IS(p, type) __builtin_types_compatible_p(__typeof__(*(p)), type)
#define NATIVE_SHIFT(p)                                                                            \
	(NATIVE_IS(p, struct tcp_sock)	       ? NATIVE_TCP_AT                                     \
	 : NATIVE_IS(p, struct unix_sock)      ? NATIVE_UNIX_AT                                    \
	 : NATIVE_IS(p, struct iov_iter___62)  ? NATIVE_ITER62_AT                                  \
	 : NATIVE_IS(p, struct iov_iter___510) ? NATIVE_ITER510_AT                                 \
					       : 0)
#define NATIVE_TCP_AT	  256
#define NATIVE_UNIX_AT	  512
#define NATIVE_ITER62_AT  64
#define NATIVE_ITER510_AT 128

#define NATIVE_READ1(p, a)                                                                         \
	({                                                                                         \
		__typeof__((p)->a) v1_;                                                            \
		bpf_probe_read_kernel((void *)&v1_, sizeof(v1_),                                   \
				      (const char *)&(p)->a + NATIVE_SHIFT(p));                    \
		v1_;                                                                               \
	})
#define NATIVE_READ2(p, a, b)                                                                      \
	({                                                                                         \
		__typeof__((p)->a) p2_ = NATIVE_READ1(p, a);                                       \
		NATIVE_READ1(p2_, b);                                                              \
	})
#define NATIVE_READ3(p, a, b, c)                                                                   \
	({                                                                                         \
		__typeof__((p)->a) p3_ = NATIVE_READ1(p, a);                                       \
		NATIVE_READ2(p3_, b, c);                                                           \
	})
#define NATIVE_READ_N(a, b, c, n, ...) n
#define BPF_CORE_READ(p, ...)                                                                      \
	NATIVE_READ_N(__VA_ARGS__, NATIVE_READ3, NATIVE_READ2, NATIVE_READ1, 0)(p, __VA_ARGS__)
#define BPF_CORE_READ_INTO(to, p, a) bpf_probe_read_kernel((to), sizeof(*(to)), &(p)->a)

#endif
