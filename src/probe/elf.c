/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf.c - symbols, sections, relocations and code of 64-bit ELF files.
 *
 * The files belong to the processes that are traced, not to us: any of them may be built to
 * harm a tracer that runs as root, or be cut short while it is read. So nothing is mapped (a
 * file that shrinks would raise SIGBUS), every read is a pread through a small window, tables
 * are walked instead of loaded (a Go binary's symbol names alone can be 10 MB), and all
 * arithmetic on numbers from the file is checked against the file's size. That is also why no
 * general ELF library is used here.
 * Format: System V ABI, chapters 4 and 5 (gabi); AMD64 supplement for the relocations; for
 * what the kernel emulates under a uprobe, its arch/x86/kernel/uprobes.c.
 */
#include "probe/elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PHDRS_MAX    64
#define SECTIONS_MAX 4096
#define STRTAB_MAX   (256ULL << 20)
#define FIND_MAX     (128ULL << 20) /* a file may claim any size, and cost no disk */
#define SYMS_MAX     (16ULL << 20)
#define RELAS_MAX    (4ULL << 20) /* some callers go through them twenty times */
#define RELRS_MAX    (2u << 20)	  /* each costs a read, and one word can ask for 63 */
#define WINDOW	     (128 << 10)
#define SPOTS_MAX    4 /* places in a string table where one name may begin */

struct clew_elf {
	int fd;
	uint64_t size;
	uint16_t type, machine;
	uint32_t nr_loads;
	Elf64_Phdr loads[PHDRS_MAX];
	uint32_t nr_sections;
	Elf64_Shdr *sections;
	uint64_t names_off, names_size;
};

static bool in_file(const struct clew_elf *elf, uint64_t off, uint64_t n)
{
	return off <= elf->size && n <= elf->size - off;
}

int clew_elf__read_off(const struct clew_elf *elf, uint64_t off, void *buf, size_t n)
{
	uint8_t *p = buf;

	if (!in_file(elf, off, n))
		return -EBADMSG;
	while (n) {
		ssize_t got = pread(elf->fd, p, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got) /* it was cut meanwhile */
			return -EBADMSG;
		p += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

static int read_loads(struct clew_elf *elf, const Elf64_Ehdr *eh)
{
	uint32_t i;

	if (eh->e_phentsize != sizeof(Elf64_Phdr))
		return eh->e_phnum ? -EBADMSG : 0;
	for (i = 0; i < eh->e_phnum && i < PHDRS_MAX; i++) {
		Elf64_Phdr *ph = &elf->loads[elf->nr_loads];
		uint64_t off = eh->e_phoff + (uint64_t)i * sizeof(*ph);
		int err;

		if (off < eh->e_phoff)
			return -EBADMSG;
		err = clew_elf__read_off(elf, off, ph, sizeof(*ph));
		if (err)
			return err;
		if (ph->p_type != PT_LOAD || ph->p_vaddr + ph->p_memsz < ph->p_vaddr ||
		    ph->p_filesz > ph->p_memsz || ph->p_offset + ph->p_filesz < ph->p_offset)
			continue;
		elf->nr_loads++;
	}
	return 0;
}

/* Without section headers the file is still good for reading by address. */
static int read_sections(struct clew_elf *elf, const Elf64_Ehdr *eh)
{
	uint64_t bytes;
	int err;

	if (!eh->e_shoff || !eh->e_shnum || eh->e_shentsize != sizeof(Elf64_Shdr))
		return 0;
	if (eh->e_shnum > SECTIONS_MAX)
		return 0;
	bytes = (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr);
	if (!in_file(elf, eh->e_shoff, bytes))
		return 0;
	elf->sections = malloc(bytes);
	if (!elf->sections)
		return -ENOMEM;
	err = clew_elf__read_off(elf, eh->e_shoff, elf->sections, bytes);
	if (err)
		return err;
	elf->nr_sections = eh->e_shnum;
	if (eh->e_shstrndx < eh->e_shnum) {
		elf->names_off = elf->sections[eh->e_shstrndx].sh_offset;
		elf->names_size = elf->sections[eh->e_shstrndx].sh_size;
		if (!in_file(elf, elf->names_off, elf->names_size))
			elf->names_size = 0;
	}
	return 0;
}

int clew_elf__new(int fd, struct clew_elf **ret)
{
	struct clew_elf *elf;
	struct stat st;
	Elf64_Ehdr eh;
	int err;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0)
		return -EBADMSG;
	elf = calloc(1, sizeof(*elf));
	if (!elf)
		return -ENOMEM;
	elf->fd = fd;
	elf->size = (uint64_t)st.st_size;
	err = clew_elf__read_off(elf, 0, &eh, sizeof(eh));
	if (err)
		goto err_out;
	err = -EBADMSG;
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_ident[EI_DATA] != ELFDATA2LSB || (eh.e_type != ET_EXEC && eh.e_type != ET_DYN))
		goto err_out;
	elf->type = eh.e_type;
	elf->machine = eh.e_machine;
	err = read_loads(elf, &eh);
	if (!err)
		err = read_sections(elf, &eh);
	if (err)
		goto err_out;
	*ret = elf;
	return 0;
err_out:
	clew_elf__free(elf);
	return err;
}

void clew_elf__free(struct clew_elf *elf)
{
	if (!elf)
		return;
	free(elf->sections);
	free(elf);
}

bool clew_elf__is_x86_64(const struct clew_elf *elf)
{
	return elf->machine == EM_X86_64;
}

bool clew_elf__is_pie(const struct clew_elf *elf)
{
	return elf->type == ET_DYN;
}

static const Elf64_Phdr *load_of(const struct clew_elf *elf, uint64_t addr)
{
	uint32_t i;

	for (i = 0; i < elf->nr_loads; i++)
		if (addr >= elf->loads[i].p_vaddr &&
		    addr - elf->loads[i].p_vaddr < elf->loads[i].p_memsz)
			return &elf->loads[i];
	return NULL;
}

int clew_elf__offset(const struct clew_elf *elf, uint64_t addr, uint64_t *ret_off)
{
	const Elf64_Phdr *ph = load_of(elf, addr);

	if (!ph || addr - ph->p_vaddr >= ph->p_filesz)
		return -ENOENT;
	*ret_off = ph->p_offset + (addr - ph->p_vaddr);
	return 0;
}

int clew_elf__read(const struct clew_elf *elf, uint64_t addr, void *buf, size_t n)
{
	const Elf64_Phdr *ph = load_of(elf, addr);
	uint64_t at, have = 0;
	int err;

	if (!ph)
		return -ENOENT;
	at = addr - ph->p_vaddr;
	if (n > ph->p_memsz - at)
		return -ENOENT;
	if (at < ph->p_filesz)
		have = ph->p_filesz - at < n ? ph->p_filesz - at : n;
	if (have) {
		err = clew_elf__read_off(elf, ph->p_offset + at, buf, have);
		if (err)
			return err;
	}
	memset((uint8_t *)buf + have, 0, n - have);
	return 0;
}

int clew_elf__bias(const struct clew_elf *elf, uint64_t start, uint64_t pgoff, uint64_t *ret)
{
	uint32_t i;

	if (!clew_elf__is_pie(elf)) {
		*ret = 0;
		return 0;
	}
	for (i = 0; i < elf->nr_loads; i++) {
		const Elf64_Phdr *ph = &elf->loads[i];
		uint64_t off = ph->p_offset & ~0xfffULL;

		if (pgoff >= off && pgoff < ph->p_offset + ph->p_filesz) {
			*ret = start - (pgoff - off) - (ph->p_vaddr & ~0xfffULL);
			return 0;
		}
	}
	return -ENOENT;
}

int clew_elf__section(const struct clew_elf *elf, const char *name, struct clew_elf_section *ret)
{
	size_t len = strlen(name) + 1;
	char buf[64];
	uint32_t i;

	if (len > sizeof(buf))
		return -EINVAL;
	for (i = 0; i < elf->nr_sections; i++) {
		const Elf64_Shdr *sh = &elf->sections[i];

		if (sh->sh_name > elf->names_size || len > elf->names_size - sh->sh_name ||
		    clew_elf__read_off(elf, elf->names_off + sh->sh_name, buf, len) ||
		    memcmp(buf, name, len))
			continue;
		if (sh->sh_type != SHT_NOBITS && !in_file(elf, sh->sh_offset, sh->sh_size))
			return -EBADMSG;
		ret->addr = sh->sh_addr;
		ret->off = sh->sh_offset;
		ret->size = sh->sh_size;
		ret->type = sh->sh_type;
		ret->link = sh->sh_link;
		ret->entsize = sh->sh_entsize;
		return 0;
	}
	return -ENOENT;
}

int clew_window__init(struct clew_window *w, const struct clew_elf *elf, size_t cap)
{
	memset(w, 0, sizeof(*w));
	w->buf = malloc(cap);
	if (!w->buf)
		return -ENOMEM;
	w->elf = elf;
	w->cap = cap;
	return 0;
}

void clew_window__fini(struct clew_window *w)
{
	free(w->buf);
	w->buf = NULL;
}

const uint8_t *clew_window__at(struct clew_window *w, uint64_t off, size_t n)
{
	uint64_t left;

	if (off >= w->off && off - w->off <= w->len && n <= w->len - (off - w->off))
		return w->buf + (off - w->off);
	if (n > w->cap || !in_file(w->elf, off, n))
		return NULL;
	left = w->elf->size - off;
	w->len = 0;
	if (clew_elf__read_off(w->elf, off, w->buf, left < w->cap ? left : w->cap))
		return NULL;
	w->len = left < w->cap ? left : w->cap;
	w->off = off;
	return w->buf;
}

const uint8_t *clew_window__some(struct clew_window *w, uint64_t off, size_t *ret_n)
{
	const uint8_t *p = clew_window__at(w, off, 1);

	if (p)
		*ret_n = w->len - (off - w->off);
	return p;
}

int clew_elf__find(const struct clew_elf *elf, uint64_t off, uint64_t len, const void *needle,
		   size_t n, uint64_t *ret_off)
{
	struct clew_window w;
	int err;

	if (!n || n > WINDOW / 2 || !in_file(elf, off, len))
		return -EINVAL;
	if (len > FIND_MAX)
		len = FIND_MAX;
	err = clew_window__init(&w, elf, WINDOW);
	if (err)
		return err;
	err = -ENOENT;
	while (len >= n) {
		size_t have = len < WINDOW ? len : WINDOW;
		const uint8_t *p = clew_window__at(&w, off, have), *hit;

		if (!p) {
			err = -EBADMSG;
			break;
		}
		hit = memmem(p, have, needle, n);
		if (hit) {
			*ret_off = off + (uint64_t)(hit - p);
			err = 0;
			break;
		}
		/* the last n - 1 bytes may begin a match that the next window completes */
		off += have - (n - 1);
		len -= have - (n - 1);
	}
	clew_window__fini(&w);
	return err;
}

/* Where the wanted names stand in a string table. Linkers share tails, so not only at starts. */
struct spots {
	size_t n;
	struct {
		const char *name;
		size_t len;
		uint32_t nr;
		uint64_t at[SPOTS_MAX];
	} want[CLEW_ELF_SYMS_MAX];
};

static void spot(struct spots *s, const uint8_t *str, size_t len, uint64_t at)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		size_t l = s->want[i].len;

		if (len < l || str[len - 1] != (uint8_t)s->want[i].name[l - 1] ||
		    memcmp(str + len - l, s->want[i].name, l))
			continue;
		if (s->want[i].nr < SPOTS_MAX)
			s->want[i].at[s->want[i].nr++] = at + len - l;
		else if (len == l) /* the name itself beats a tail of others */
			s->want[i].at[0] = at;
	}
}

static int find_spots(const struct clew_elf *elf, uint64_t off, uint64_t size, struct spots *s)
{
	struct clew_window w;
	uint64_t at = 0;
	int err = clew_window__init(&w, elf, WINDOW);

	if (err)
		return err;
	while (at < size) {
		size_t have = size - at < WINDOW ? size - at : WINDOW, used = 0;
		const uint8_t *p = clew_window__at(&w, off + at, have);

		if (!p) {
			err = -EBADMSG;
			break;
		}
		while (used < have) {
			const uint8_t *nul = memchr(p + used, 0, have - used);

			if (!nul)
				break;
			if ((size_t)(nul - p) > used)
				spot(s, p + used, (size_t)(nul - p) - used, at + used);
			used = (size_t)(nul - p) + 1;
		}
		/* a name longer than the window is nobody's: skip that much of it */
		at += used ? used : have;
	}
	clew_window__fini(&w);
	return err;
}

static bool spotted(const struct spots *s, size_t i, uint32_t name)
{
	uint32_t k;

	for (k = 0; k < s->want[i].nr; k++)
		if (s->want[i].at[k] == name)
			return true;
	return false;
}

/* A string table and the section that uses it, with both within limits. */
static int sym_tables(const struct clew_elf *elf, const char *name, struct clew_elf_section *tab,
		      struct clew_elf_section *str)
{
	int err = clew_elf__section(elf, name, tab);

	if (err)
		return err;
	if (tab->type == SHT_NOBITS || tab->link >= elf->nr_sections)
		return -EBADMSG;
	str->off = elf->sections[tab->link].sh_offset;
	str->size = elf->sections[tab->link].sh_size;
	if (elf->sections[tab->link].sh_type != SHT_STRTAB || !in_file(elf, str->off, str->size))
		return -EBADMSG;
	if (str->size > STRTAB_MAX || tab->size / sizeof(Elf64_Sym) > SYMS_MAX)
		return -E2BIG;
	return 0;
}

/* A symbol that has a place: not undefined, no thread-local variable. True: no more are wanted. */
typedef bool (*sym_fn)(void *arg, const struct clew_elf *elf, const Elf64_Sym *sym);

static int each_sym(const struct clew_elf *elf, const struct clew_elf_section *tab, sym_fn fn,
		    void *arg)
{
	struct clew_window w;
	int err = clew_window__init(&w, elf, WINDOW);
	bool enough = false;

	for (uint64_t i = 0; !err && !enough && i < tab->size / sizeof(Elf64_Sym); i++) {
		const uint8_t *p =
			clew_window__at(&w, tab->off + i * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
		Elf64_Sym sym;

		if (!p) {
			err = -EBADMSG;
			break;
		}
		memcpy(&sym, p, sizeof(sym));
		if (sym.st_shndx != SHN_UNDEF && sym.st_value &&
		    ELF64_ST_TYPE(sym.st_info) != STT_TLS)
			enough = fn(arg, elf, &sym);
	}
	clew_window__fini(&w);
	return err;
}

static struct clew_elf_sym placed(const struct clew_elf *elf, const Elf64_Sym *sym)
{
	struct clew_elf_sym ret = {.addr = sym->st_value, .size = sym->st_size};

	if (clew_elf__offset(elf, ret.addr, &ret.off))
		ret.off = 0;
	return ret;
}

struct wanted {
	struct spots spots;
	struct clew_elf_sym *ret;
	size_t left;
};

static bool take_wanted(void *arg, const struct clew_elf *elf, const Elf64_Sym *sym)
{
	struct wanted *w = arg;

	for (size_t k = 0; k < w->spots.n; k++) {
		if (w->ret[k].addr || !spotted(&w->spots, k, sym->st_name))
			continue;
		w->ret[k] = placed(elf, sym);
		w->left--;
	}
	return !w->left;
}

static int search(const struct clew_elf *elf, const char *table, struct wanted *w)
{
	struct clew_elf_section tab, str = {0};
	int err = sym_tables(elf, table, &tab, &str);

	if (!err)
		err = find_spots(elf, str.off, str.size, &w->spots);
	w->left = w->spots.n;
	return err ? err : each_sym(elf, &tab, take_wanted, w);
}

int clew_elf__syms(const struct clew_elf *elf, const char *const *names, size_t n,
		   struct clew_elf_sym *ret)
{
	static const char *const tables[] = {".symtab", ".dynsym"};
	struct clew_elf_sym found[CLEW_ELF_SYMS_MAX];
	size_t map[CLEW_ELF_SYMS_MAX], t, i;
	int err, total = 0, bad = 0;

	if (n > CLEW_ELF_SYMS_MAX)
		return -EINVAL;
	memset(ret, 0, n * sizeof(*ret));
	for (t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		struct wanted w = {.ret = found};
		struct spots *s = &w.spots;

		for (i = 0; i < n; i++) {
			if (ret[i].addr || !names[i][0])
				continue;
			map[s->n] = i;
			s->want[s->n].name = names[i];
			s->want[s->n++].len = strlen(names[i]);
		}
		memset(found, 0, sizeof(found));
		err = s->n ? search(elf, tables[t], &w) : 0;
		if (err && err != -ENOENT)
			bad = err;
		for (i = 0; i < s->n; i++) {
			if (!found[i].addr)
				continue;
			ret[map[i]] = found[i];
			total++;
		}
	}
	return total ? total : bad;
}

struct matches {
	clew_match_fn fn;
	void *arg;
	size_t n;
	uint32_t calls;
	struct {
		uint64_t name;
		int what;
	} of[CLEW_ELF_MATCH_MAX];
};

static int match_names(const struct clew_elf *elf, const struct clew_elf_section *str,
		       clew_name_fn which, struct matches *m)
{
	struct clew_window w;
	uint64_t at = 0;
	int err = clew_window__init(&w, elf, WINDOW), what;

	while (!err && at < str->size && m->n < CLEW_ELF_MATCH_MAX) {
		size_t have = str->size - at < WINDOW ? str->size - at : WINDOW, used = 0;
		const uint8_t *p = clew_window__at(&w, str->off + at, have), *nul;

		if (!p)
			err = -EBADMSG;
		while (p && m->n < CLEW_ELF_MATCH_MAX && (nul = memchr(p + used, 0, have - used))) {
			what = which((const char *)p + used, (size_t)(nul - p) - used);
			if (what) {
				m->of[m->n].name = at + used;
				m->of[m->n++].what = what;
			}
			used = (size_t)(nul - p) + 1;
		}
		at += used ? used : have;
	}
	clew_window__fini(&w);
	return err;
}

static bool take_match(void *arg, const struct clew_elf *elf, const Elf64_Sym *sym)
{
	struct matches *m = arg;

	for (size_t k = 0; k < m->n; k++) {
		struct clew_elf_sym found;

		if (m->of[k].name != sym->st_name)
			continue;
		found = placed(elf, sym);
		m->fn(m->arg, m->of[k].what, &found);
		m->calls++;
	}
	return m->calls >= CLEW_ELF_MATCH_CALLS;
}

int clew_elf__match(const struct clew_elf *elf, clew_name_fn which, clew_match_fn fn, void *arg)
{
	struct clew_elf_section tab, str = {0};
	struct matches m = {.fn = fn, .arg = arg};
	int err = sym_tables(elf, ".symtab", &tab, &str);

	if (!err)
		err = match_names(elf, &str, which, &m);
	return err || !m.n ? err : each_sym(elf, &tab, take_match, &m);
}

int clew_elf__sym_contains(const struct clew_elf *elf, const char *text)
{
	static const char *const tables[] = {".symtab", ".dynsym"};
	struct clew_elf_section tab, str = {0};
	uint64_t off;
	size_t t;
	int err;

	for (t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		if (sym_tables(elf, tables[t], &tab, &str))
			continue;
		err = clew_elf__find(elf, str.off, str.size, text, strlen(text), &off);
		if (!err)
			return 1;
		if (err != -ENOENT)
			return err;
	}
	return 0;
}

static int each_rela(const struct clew_elf *elf, clew_rela_fn fn, void *arg)
{
	struct clew_elf_section sec;
	struct clew_window w;
	uint64_t i, count;
	int err = clew_elf__section(elf, ".rela.dyn", &sec);

	if (!err && sec.type == SHT_NOBITS)
		err = -EBADMSG;
	if (err)
		return err;
	count = sec.size / sizeof(Elf64_Rela);
	if (count > RELAS_MAX)
		return -E2BIG;
	err = clew_window__init(&w, elf, WINDOW);
	for (i = 0; i < count && !err; i++) {
		const uint8_t *p =
			clew_window__at(&w, sec.off + i * sizeof(Elf64_Rela), sizeof(Elf64_Rela));
		Elf64_Rela r;

		if (!p) {
			err = -EBADMSG;
			break;
		}
		memcpy(&r, p, sizeof(r));
		if (ELF64_R_TYPE(r.r_info) == R_X86_64_RELATIVE)
			err = fn(arg, r.r_offset, (uint64_t)r.r_addend);
	}
	clew_window__fini(&w);
	return err;
}

/*
 * Packed form (gabi, "Relative Relocation Table"): an even word is an address, an odd one a
 * bitmap of the 63 words that follow the last address; the values stand in place.
 */
static int each_relr(const struct clew_elf *elf, clew_rela_fn fn, void *arg)
{
	struct clew_elf_section sec;
	struct clew_window w;
	uint64_t i, value, base = 0;
	uint32_t budget = RELRS_MAX;
	int err = clew_elf__section(elf, ".relr.dyn", &sec), bit;

	if (!err && sec.type == SHT_NOBITS)
		err = -EBADMSG;
	if (err)
		return err;
	if (sec.size / 8 > RELAS_MAX)
		return -E2BIG;
	err = clew_window__init(&w, elf, WINDOW);
	for (i = 0; i < sec.size / 8 && !err; i++) {
		const uint8_t *p = clew_window__at(&w, sec.off + i * 8, 8);
		uint64_t entry;

		if (!p) {
			err = -EBADMSG;
			break;
		}
		memcpy(&entry, p, 8);
		if (budget < 64) {
			err = -E2BIG;
			break;
		}
		budget -= entry & 1 ? (uint32_t)__builtin_popcountll(entry) : 1;
		if (!(entry & 1)) {
			if (!clew_elf__read(elf, entry, &value, 8))
				err = fn(arg, entry, value);
			base = entry + 8;
			continue;
		}
		for (bit = 1; bit < 64 && !err; bit++)
			if (entry >> bit & 1 &&
			    !clew_elf__read(elf, base + (uint64_t)(bit - 1) * 8, &value, 8))
				err = fn(arg, base + (uint64_t)(bit - 1) * 8, value);
		base += 63 * 8;
	}
	clew_window__fini(&w);
	return err;
}

int clew_elf__each_relative(const struct clew_elf *elf, clew_rela_fn fn, void *arg)
{
	int err = each_rela(elf, fn, arg), packed;

	if (err && err != -ENOENT)
		return err;
	packed = each_relr(elf, fn, arg);
	return packed == -ENOENT ? err : packed;
}

int clew_elf__probe_addr(const struct clew_elf *elf, uint64_t addr, uint64_t *ret_addr,
			 enum clew_insn_class *ret_class)
{
	uint8_t code[64];
	size_t n = sizeof(code), skip;
	int err;

	/* the function may be the last of its segment: take what there is */
	while ((err = clew_elf__read(elf, addr, code, n)) == -ENOENT && n > 8)
		n /= 2;
	if (err)
		return err;
	skip = clew_insn__skip(code, n);
	*ret_addr = addr + skip;
	*ret_class = clew_insn__class(code + skip, n - skip);
	return 0;
}
