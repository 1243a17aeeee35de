/* SPDX-License-Identifier: Apache-2.0 */
/*
 * go_runtime.c - what a Go program's file says about it.
 *
 * Most Go programs in production are stripped, but two things survive, because the runtime
 * itself needs them: .go.buildinfo holds the version, and .gopclntab maps code addresses to
 * function names (for stack traces). Struct layouts are not in the file without debug
 * information; they come from a table that tools/go_offsets writes from real releases. A
 * release that is not in the table gets no rule: a wrong offset would give wrong parents.
 * Formats: Go's debug/buildinfo, runtime/symtab.go (pcHeader, moduledata), internal/abi
 * (pclntab magics 0xfffffff0 since 1.18, 0xfffffff1 since 1.20).
 */
#include "probe/look.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_118     0xfffffff0u
#define MAGIC_120     0xfffffff1u
#define FUNCS_MAX     (4u << 20)
#define WINDOW	      (128 << 10)
#define BUILDINFO_HDR 32
#define MODULE_TEXT   176 /* moduledata.text: a pointer, six slices, three pointers before it */
#define MODULE_TRIES  16
#define NAMES_MAX     CLEW_GO_FUNCS
#define NEWPROC_MAX   192 /* bytes of newproc's inner function; 96 in 1.26 */

static const struct clew_go_layout layouts[] = {
#include "probe/go_offsets.h"
};

#define SYSCALL_122 "runtime/internal/syscall.Syscall6"
#define SYSCALL_125 "internal/runtime/syscall.Syscall6"
#define SYSCALL_126 "internal/runtime/syscall/linux.Syscall6"

static const char *const func_names[CLEW_GO_FUNCS] = {
	[CLEW_GO_SERVE] = "net/http.serverHandler.ServeHTTP",
	[CLEW_GO_ROUNDTRIP] = "net/http.(*persistConn).roundTrip",
	[CLEW_GO_RESPONSE] = "net/http.(*persistConn).readResponse",
	[CLEW_GO_NEWPROC] = "runtime.newproc.func1",
	[CLEW_GO_NEWPROC1] = "runtime.newproc1",
	[CLEW_GO_RUNQPUT] = "runtime.runqput",
	[CLEW_GO_SYSCALL] = SYSCALL_126,
};

/* The names of the functions in this release. */
static void names_of(const struct clew_go_layout *layout, const char *ret[CLEW_GO_FUNCS])
{
	memcpy(ret, func_names, sizeof(func_names));
	if (layout && layout->minor <= 25)
		ret[CLEW_GO_SYSCALL] = layout->minor <= 22 ? SYSCALL_122 : SYSCALL_125;
}

const struct clew_go_layout *clew_go__layout(const char *version)
{
	char *end;
	unsigned long minor;
	size_t i;

	/* betas, candidates and development builds may lie between two layouts */
	if (strncmp(version, "go1.", 4) || version[4] < '0' || version[4] > '9')
		return NULL;
	minor = strtoul(version + 4, &end, 10);
	if (*end && *end != '.' && *end != ' ')
		return NULL;
	if (strstr(end, "rc") || strstr(end, "beta") || strstr(end, "devel"))
		return NULL;
	for (i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].minor == minor)
			return &layouts[i];
	return NULL;
}

static void copy_version(char *dst, size_t n, const char *p, size_t len)
{
	size_t i;

	if (len >= n)
		len = n - 1;
	for (i = 0; i < len && p[i] >= ' ' && p[i] <= '~'; i++)
		dst[i] = p[i];
	dst[i] = 0;
}

/* Go before 1.18: pointers to string headers instead of the strings themselves. */
static int old_buildinfo(const struct clew_elf *elf, const uint8_t *hdr, char *version, size_t n)
{
	uint64_t str, head[2];
	char text[64];
	int err;

	if (hdr[14] != 8 || hdr[15] & 1) /* only 64-bit little-endian */
		return -EBADMSG;
	memcpy(&str, hdr + 16, 8);
	err = clew_elf__read(elf, str, head, sizeof(head));
	if (err)
		return err;
	if (!head[1] || head[1] > sizeof(text))
		return -EBADMSG;
	err = clew_elf__read(elf, head[0], text, head[1]);
	if (!err)
		copy_version(version, n, text, head[1]);
	return err;
}

int clew_go__buildinfo(const struct clew_elf *elf, char *version, size_t n)
{
	static const char magic[14] = "\xff Go buildinf:";
	uint8_t buf[BUILDINFO_HDR + 64] = {0};
	struct clew_elf_section sec;
	size_t have, len;
	int err = clew_elf__section(elf, ".go.buildinfo", &sec);

	version[0] = 0;
	if (err)
		return err;
	if (sec.type == SHT_NOBITS || sec.size < BUILDINFO_HDR)
		return -EBADMSG;
	have = sec.size < sizeof(buf) ? sec.size : sizeof(buf);
	err = clew_elf__read_off(elf, sec.off, buf, have);
	if (err)
		return err;
	if (memcmp(buf, magic, sizeof(magic)))
		return -EBADMSG;
	if (!(buf[15] & 2))
		return old_buildinfo(elf, buf, version, n);
	len = buf[BUILDINFO_HDR]; /* a varint; a version of 128 bytes or more is none */
	if (!len || len >= 128 || have <= BUILDINFO_HDR + 1)
		return -EBADMSG;
	if (len > have - BUILDINFO_HDR - 1)
		len = have - BUILDINFO_HDR - 1;
	copy_version(version, n, (char *)buf + BUILDINFO_HDR + 1, len);
	return 0;
}

struct pcln {
	struct clew_elf_section sec;
	uint64_t text; /* what entry offsets count from */
	uint64_t nfunc;
	uint64_t names; /* file offset of the function names */
	uint64_t names_size;
	uint64_t funcs; /* file offset of the function table */
	uint64_t funcs_size;
};

struct moduledata_search {
	uint64_t pclntab, module, text;
};

static int find_module(void *arg, uint64_t where, uint64_t value)
{
	struct moduledata_search *s = arg;

	if (value == s->pclntab && !s->module)
		s->module = where;
	return 0;
}

static int find_text(void *arg, uint64_t where, uint64_t value)
{
	struct moduledata_search *s = arg;

	if (where != s->module + MODULE_TEXT)
		return 0;
	s->text = value;
	return 1;
}

/* The word that points to pclntab is the first of moduledata: look where that can lie. */
static int module_in_data(const struct clew_elf *elf, struct moduledata_search *s)
{
	static const char *const places[] = {".go.module", ".noptrdata", ".data"};
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct clew_elf_section sec;
		uint64_t from, at;
		int tries;

		if (clew_elf__section(elf, places[i], &sec) || sec.type == SHT_NOBITS)
			continue;
		from = sec.off;
		for (tries = 0; tries < MODULE_TRIES && from < sec.off + sec.size; tries++) {
			if (clew_elf__find(elf, from, sec.off + sec.size - from, &s->pclntab, 8,
					   &at))
				break;
			from = at + 1;
			if ((at - sec.off) % 8)
				continue;
			s->module = sec.addr + (at - sec.off);
			return clew_elf__read(elf, s->module + MODULE_TEXT, &s->text, 8);
		}
	}
	return -ENOENT;
}

/*
 * Where the Go code begins. The header said so until 1.25 (but position-independent programs
 * leave it to a relocation), moduledata always does; .text begins there unless C code was
 * linked in front.
 */
static int text_start(const struct clew_elf *elf, uint64_t pclntab, uint64_t in_header,
		      uint64_t *ret)
{
	struct moduledata_search s = {.pclntab = pclntab};
	struct clew_elf_section text;
	int err = clew_elf__section(elf, ".text", &text);

	if (err)
		return err;
	if (clew_elf__is_pie(elf)) {
		if (!clew_elf__each_relative(elf, find_module, &s) && s.module)
			clew_elf__each_relative(elf, find_text, &s);
	} else if (module_in_data(elf, &s)) {
		s.text = 0;
	}
	if (s.text >= text.addr && s.text - text.addr < text.size)
		*ret = s.text;
	else if (in_header >= text.addr && in_header - text.addr < text.size)
		*ret = in_header;
	else
		*ret = text.addr;
	return 0;
}

/* The table at p->sec: what its header says, or -EBADMSG. */
static int pcln_header(const struct clew_elf *elf, struct pcln *p, uint64_t *ret_text)
{
	uint64_t hdr[9], cu;
	uint32_t magic;
	int err;

	if (p->sec.type == SHT_NOBITS || p->sec.size < sizeof(hdr))
		return -EBADMSG;
	err = clew_elf__read_off(elf, p->sec.off, hdr, sizeof(hdr));
	if (err)
		return err;
	magic = (uint32_t)hdr[0];
	if ((magic != MAGIC_118 && magic != MAGIC_120) || (hdr[0] >> 32 & 0xffff) ||
	    hdr[0] >> 56 != 8)
		return -EBADMSG;
	p->nfunc = hdr[1];
	cu = hdr[5];
	p->names = p->sec.off + hdr[4];
	p->funcs = p->sec.off + hdr[8];
	if (hdr[4] > p->sec.size || cu > p->sec.size || cu < hdr[4] || hdr[8] > p->sec.size)
		return -EBADMSG;
	p->names_size = cu - hdr[4];
	p->funcs_size = p->sec.size - hdr[8];
	if (p->nfunc > FUNCS_MAX || p->nfunc * 8 + 4 > p->funcs_size)
		return -EBADMSG;
	*ret_text = hdr[3];
	return 0;
}

/* GNU ld 2.44 makes one section of all that is relocated once: there the table is found by how it
 * begins. */
static int pcln_in_relro(const struct clew_elf *elf, struct pcln *p, uint64_t *ret_text)
{
	static const uint8_t begins[2][8] = {{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8},
					     {0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8}};
	struct clew_elf_section relro;

	if (clew_elf__section(elf, ".data.rel.ro", &relro))
		return -ENOENT;
	for (size_t i = 0; i < 2 && relro.type != SHT_NOBITS; i++) {
		uint64_t end = relro.off + relro.size, at = relro.off;

		for (int tries = 0; tries < MODULE_TRIES; tries++, at++) {
			if (clew_elf__find(elf, at, end - at, begins[i], sizeof(begins[i]), &at))
				break;
			p->sec = relro;
			p->sec.addr += at - relro.off;
			p->sec.off = at;
			p->sec.size = end - at;
			if (!(p->sec.addr % 8) && !pcln_header(elf, p, ret_text))
				return 0;
		}
	}
	return -ENOENT;
}

static int pcln_open(const struct clew_elf *elf, struct pcln *p)
{
	static const char *const names[] = {".gopclntab", ".data.rel.ro.gopclntab"};
	int err = -ENOENT;
	uint64_t text;
	size_t i;

	for (i = 0; i < 2 && err; i++)
		err = clew_elf__section(elf, names[i], &p->sec);
	err = err ? pcln_in_relro(elf, p, &text) : pcln_header(elf, p, &text);
	return err ? err : text_start(elf, p->sec.addr, text, &p->text);
}

/* The offset of each wanted name in the table of names; UINT64_MAX: not there. */
static void name_offsets(const struct clew_elf *elf, const struct pcln *p, const char *const *names,
			 size_t n, uint64_t *at)
{
	size_t i;

	for (i = 0; i < n; i++) {
		char key[128];
		int len = snprintf(key + 1, sizeof(key) - 1, "%s", names[i]);
		uint64_t off;

		at[i] = UINT64_MAX;
		if (len < 0 || (size_t)len >= sizeof(key) - 1)
			continue;
		key[0] = 0; /* the end of the name before, so that no tail of one matches */
		if (!clew_elf__find(elf, p->names, p->names_size, key, (size_t)len + 2, &off))
			at[i] = off + 1 - p->names;
	}
}

int clew_go__pclntab(const struct clew_elf *elf, const char *const *names, size_t n, uint64_t *ret)
{
	struct clew_window tab = {0}, fn = {0};
	uint64_t at[NAMES_MAX], i;
	uint32_t last = 0;
	struct pcln p;
	size_t k;
	int err, found = 0;

	if (n > NAMES_MAX)
		return -EINVAL;
	memset(ret, 0, n * sizeof(*ret));
	err = pcln_open(elf, &p);
	if (err)
		return err;
	name_offsets(elf, &p, names, n, at);
	err = clew_window__init(&tab, elf, WINDOW);
	if (!err)
		err = clew_window__init(&fn, elf, WINDOW);
	for (i = 0; i < p.nfunc && !err && (size_t)found < n; i++) {
		const uint8_t *e = clew_window__at(&tab, p.funcs + i * 8, 8), *f;
		uint32_t entry, off, name;

		if (!e) {
			err = -EBADMSG;
			break;
		}
		memcpy(&entry, e, 4);
		memcpy(&off, e + 4, 4);
		/* they are written in order; out of order, each would cost a window */
		if (off > p.funcs_size - 8 || off < last) {
			err = -EBADMSG;
			break;
		}
		last = off;
		f = clew_window__at(&fn, p.funcs + off, 8);
		if (!f) {
			err = -EBADMSG;
			break;
		}
		memcpy(&name, f + 4, 4); /* entryOff, nameOff, ... */
		for (k = 0; k < n; k++) {
			if (ret[k] || at[k] == UINT64_MAX || at[k] != name)
				continue;
			ret[k] = p.text + entry;
			found++;
		}
	}
	clew_window__fini(&tab);
	clew_window__fini(&fn);
	return err ? err : found;
}

/*
 * newproc's inner function makes the goroutine (call newproc1) and queues it (call runqput): at
 * the second call the new g is in BX and complete. A call is emulated under a probe, newproc1's
 * RET is not. Bytes that happen to look like a call would have to name the very function.
 */
static uint64_t spawn_site(const struct clew_elf *elf, const struct clew_go_facts *go)
{
	uint64_t at = go->func[CLEW_GO_NEWPROC];
	uint8_t code[NEWPROC_MAX];
	bool made = false;
	int32_t rel;

	if (!at || !go->func[CLEW_GO_NEWPROC1] || !go->func[CLEW_GO_RUNQPUT] ||
	    clew_elf__read(elf, at, code, sizeof(code)))
		return 0;
	for (size_t i = 0; i + 5 <= sizeof(code); i++) {
		uint64_t to;

		if (code[i] != 0xe8)
			continue;
		memcpy(&rel, code + i + 1, 4);
		to = at + i + 5 + (uint64_t)(int64_t)rel;
		if (to == go->func[CLEW_GO_NEWPROC1])
			made = true;
		else if (to == go->func[CLEW_GO_RUNQPUT])
			return made ? at + i : 0;
	}
	return 0;
}

/*
 * Where a system call of Go's own comes back to. Code of Go's own calling convention, so that R14
 * is the running g, and stays so: it is known to the byte (asm_linux_amd64.s, 1.19 to 1.26).
 */
static uint64_t entered_from(const struct clew_elf *elf, const struct clew_go_facts *go)
{
	static const uint8_t known[] = {
		0x49, 0x89, 0xf2, /* MOVQ SI, R10 */
		0x48, 0x89, 0xfa, /* MOVQ DI, DX */
		0x48, 0x89, 0xce, /* MOVQ CX, SI */
		0x48, 0x89, 0xdf, /* MOVQ BX, DI */
		0x0f, 0x05,	  /* SYSCALL */
	};
	uint64_t at = go->func[CLEW_GO_SYSCALL];
	uint8_t code[sizeof(known)];

	if (!at || clew_elf__read(elf, at, code, sizeof(code)) ||
	    memcmp(code, known, sizeof(known)) != 0)
		return 0;
	return at + sizeof(known);
}

int clew_go__inspect(const struct clew_elf *elf, struct clew_go_facts *ret)
{
	static const char *const itabs[] = {
		"go:itab.*crypto/tls.Conn,net.Conn",
		"go.itab.*crypto/tls.Conn,net.Conn",
	};
	struct clew_elf_sym sym[CLEW_GO_FUNCS], itab[2];
	const char *names[CLEW_GO_FUNCS];
	struct clew_elf_section sec;
	int err, i;

	memset(ret, 0, sizeof(*ret));
	err = clew_go__buildinfo(elf, ret->version, sizeof(ret->version));
	if (err == -ENOENT && clew_elf__section(elf, ".gopclntab", &sec) &&
	    clew_elf__section(elf, ".data.rel.ro.gopclntab", &sec))
		return -ENOENT;
	if (!err)
		ret->layout = clew_go__layout(ret->version);
	names_of(ret->layout, names);
	ret->stripped = clew_elf__section(elf, ".symtab", &sec);
	if (ret->stripped) {
		err = clew_go__pclntab(elf, names, CLEW_GO_FUNCS, ret->func);
		ret->spawn = spawn_site(elf, ret);
		ret->entered = entered_from(elf, ret);
		return err == -ENOENT ? -EBADMSG : err < 0 ? err : 0;
	}
	err = clew_elf__syms(elf, names, CLEW_GO_FUNCS, sym);
	if (err >= 0)
		err = clew_elf__syms(elf, itabs, 2, itab);
	if (err < 0)
		return err;
	for (i = 0; i < CLEW_GO_FUNCS; i++)
		ret->func[i] = sym[i].addr;
	ret->tls_itab = itab[0].addr ? itab[0].addr : itab[1].addr;
	ret->spawn = spawn_site(elf, ret);
	ret->entered = entered_from(elf, ret);
	return 0;
}

static struct clew_go_wait wait_layout(const struct clew_go_layout *l)
{
	return (struct clew_go_wait){
		.g_m = l->g_m,
		.m_curg = l->m_curg,
		.g_sp = l->g_sp,
		.g_ctxt = l->g_ctxt,
		.g_status = l->g_status,
		.g_reason = l->g_reason,
		.g_waiting = l->g_waiting,
		.sudog_c = l->sudog_c,
		.sudog_link = l->sudog_link,
		.hchan_recvq = l->hchan_recvq,
		.m_p = l->m_p,
		.p_mcache = l->p_mcache,
		.mc_alloc = l->mc_alloc,
		.span_start = l->span_start,
		.span_pages = l->span_pages,
		.span_size = l->span_size,
		.wg_reason = l->wg_reason,
	};
}

bool clew_go__look(struct clew_look *l)
{
	const struct clew_go_facts *go = &l->file->go;
	const struct clew_go_layout *layout = go->layout;
	struct clew_runtime *rt = l->rt;
	uint64_t bias;

	if (l->file->kind != CLEW_FACTS_GO)
		return false;
	clew_look__name(l, CLEW_RT_GO, "go");
	snprintf(rt->version, sizeof(rt->version), "%s", go->version);
	if (!layout && rt->version[0])
		clew_look__why(l, "Go release %s was never measured: no Go rule", rt->version);
	else if (!layout)
		clew_look__why(l, "no Go version in the file: no Go rule");
	if (!layout)
		return true;
	rt->entry.go_goid = (uint16_t)layout->goid;
	rt->entry.go_req_ctx = (uint16_t)layout->req_ctx;
	rt->entry.go_pc_conn = (uint16_t)layout->pc_conn;
	clew_look__sites(l, l->file, l->path);
	if (l->file->err)
		clew_look__why(l, "the function table cannot be read (%s)",
			       strerror(-l->file->err));
	else if (!rt->nr_sites)
		clew_look__why(l, "net/http is not in the program: goroutine rule only");
	if (clew_look__has(l, CLEW_SITE_GO_SPAWN) && clew_look__has(l, CLEW_SITE_GO_RESPONSE))
		rt->entry.go_wait = wait_layout(layout);
	else
		clew_look__drop_set(l, CLEW_SET_GO_SPAWN);
	if (!rt->entry.go_wait.g_m && rt->nr_sites)
		clew_look__why(l, "the go statement was not found: goroutines without context");
	if (l->maps.exe.end && !clew_look__bias(l, &l->maps.exe, &bias)) {
		rt->entry.go_itab_tls = go->tls_itab ? bias + go->tls_itab : 0;
		rt->entry.go_entered = go->entered ? bias + go->entered : 0;
	}
	return true;
}
