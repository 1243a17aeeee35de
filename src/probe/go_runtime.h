/* SPDX-License-Identifier: Apache-2.0 */
/*
 * go_runtime.h - what a Go program's file says: version, functions, layouts.
 */
#ifndef CLEW_PROBE_GO_RUNTIME_H
#define CLEW_PROBE_GO_RUNTIME_H

#include "probe/elf.h"

/* Layout of one minor release; columns as tools/go_offsets writes them. */
struct clew_go_layout {
	uint32_t minor;
	uint32_t goid;	     /* runtime.g.goid */
	uint32_t req_ctx;    /* net/http.Request.ctx */
	uint32_t pc_conn;    /* net/http.persistConn.conn */
	uint32_t pc_tls;     /* net/http.persistConn.tlsState */
	uint32_t tr_request; /* net/http.transportRequest.Request */
	uint32_t conn_fd;    /* net.TCPConn -> *netFD */
	uint32_t sysfd;	     /* net.netFD -> pfd.Sysfd */
	uint32_t tls_conn;   /* crypto/tls.Conn.conn */
	/* as in struct clew_go_wait, in the order of tools/go_offsets */
	uint16_t g_m, m_curg, g_sp, g_ctxt, g_status, g_reason, g_waiting, sudog_c, sudog_link,
		hchan_recvq, m_p, p_mcache, mc_alloc, span_start, span_pages, span_size, wg_reason;
};

enum {
	CLEW_GO_SERVE,
	CLEW_GO_ROUNDTRIP,
	CLEW_GO_RESPONSE,
	CLEW_GO_NEWPROC, /* what the go statement runs on the system stack */
	CLEW_GO_NEWPROC1,
	CLEW_GO_RUNQPUT,
	CLEW_GO_SYSCALL, /* all of Go's own system calls on connections */
	CLEW_GO_FUNCS,
};

struct clew_go_facts {
	char version[32];		     /* "go1.22.3"; empty: not in the file */
	const struct clew_go_layout *layout; /* static; NULL: an unknown release */
	uint64_t func[CLEW_GO_FUNCS];	     /* addresses as linked; 0: not in the program */
	uint64_t tls_itab;		     /* likewise */
	uint64_t spawn;			     /* likewise: newproc's call of runqput */
	uint64_t entered; /* likewise: behind the instruction that enters the kernel */
	bool stripped;	  /* no .symtab: read from .gopclntab */
};

/* 0; -ENOENT: not a Go program; other: it is one, but cannot be read (facts are valid). */
int clew_go__inspect(const struct clew_elf *elf, struct clew_go_facts *ret);

/* The layout of "go1.N..."; NULL when that release was never measured. */
const struct clew_go_layout *clew_go__layout(const char *version);

/*
 * clew_go__pclntab - find functions by name in .gopclntab (Go 1.18 and later). Fills ret[i]
 * for names[i]; returns how many were found, or -errno.
 */
int clew_go__pclntab(const struct clew_elf *elf, const char *const *names, size_t n, uint64_t *ret);
/* The version string of .go.buildinfo. */
int clew_go__buildinfo(const struct clew_elf *elf, char *version, size_t n);

#endif
