/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include <time.h>

#include <elf.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "probe/elf.h"
#include "probe/go_runtime.h"
#include "probe/python_runtime.h"

/* Something of this very program to look for. */
int probe_test_marker(int x);
int __attribute__((noinline)) probe_test_marker(int x)
{
	return x * 3 + 1;
}

static void skip_is(const char *code, size_t n, size_t want, enum clew_insn_class want_class)
{
	uint8_t *p = malloc(n); /* exact size: ASan sees a read past it */
	size_t skip;

	memcpy(p, code, n);
	skip = clew_insn__skip(p, n);
	assert_int_equal(skip, want);
	assert_int_equal(clew_insn__class(p + skip, n - skip), want_class);
	free(p);
}

#define CODE(s) s, sizeof(s) - 1

static void instructions(void **state)
{
	size_t n;

	(void)state;
	skip_is(CODE("\x55\x48\x89\xe5"), 0, CLEW_INSN_PUSH);
	skip_is(CODE("\x41\x57\x41\x56"), 0, CLEW_INSN_PUSH);
	skip_is(CODE("\x48\x83\xec\x08"), 0, CLEW_INSN_OTHER);
	skip_is(CODE("\x90\x90"), 0, CLEW_INSN_NOP);
	skip_is(CODE("\xe9\x01\x02\x03\x04"), 0, CLEW_INSN_JUMP);
	skip_is(CODE("\xc3"), 0, CLEW_INSN_OTHER);
	skip_is(CODE("\xf0\x48\x0f\xc1\x07"), 0, CLEW_INSN_REFUSED);
	skip_is(CODE("\xf3\x0f\x1e\xfa\x55"), 4, CLEW_INSN_PUSH);
	skip_is(CODE("\xf3\x0f\x1e\xfa\x48\x83\xec\x08"), 4, CLEW_INSN_OTHER);
	skip_is(CODE("\xf3\x0f\x1e\xfa"), 4, CLEW_INSN_UNKNOWN);
	/* Go: cmp 0x10(%r14),%rsp; jbe; push %rbp */
	skip_is(CODE("\x49\x3b\x66\x10\x76\x40\x55\x48"), 6, CLEW_INSN_PUSH);
	skip_is(CODE("\x49\x3b\x66\x10\x0f\x86\x01\x02\x00\x00\x55\x48"), 10, CLEW_INSN_PUSH);
	/* lea -0x18(%rsp),%r12; cmp 0x10(%r14),%r12; jbe; push */
	skip_is(CODE("\x4c\x8d\x64\x24\xe8\x4d\x3b\x66\x10\x76\x40\x55"), 11, CLEW_INSN_PUSH);
	skip_is(CODE("\x4c\x8d\xa4\x24\x01\x02\x03\xff\x4d\x3b\x66\x10\x0f\x86\x01\x02\x03\x04"
		     "\x55"),
		18, CLEW_INSN_PUSH);
	/* mov %rsp,%r12; sub $imm,%r12; jb; cmp; jbe; push */
	skip_is(CODE("\x49\x89\xe4\x49\x81\xec\x01\x02\x03\x04\x72\x20\x4d\x3b\x66\x10\x76\x40"
		     "\x55"),
		18, CLEW_INSN_PUSH);
	/* before frame pointers were pushed: stop at the jump */
	skip_is(CODE("\x49\x3b\x66\x10\x76\x40\x48\x83\xec\x10"), 4, CLEW_INSN_JUMP);
	/* a builtin of V8: three loads, test $1,%bl; je */
	skip_is(CODE("\x4c\x8b\x46\xff\x4c\x8b\x48\x4f\x4d\x8b\x40\x1f\xf6\xc3\x01\x0f\x84\x2f\x03"
		     "\x00\x00"),
		15, CLEW_INSN_JUMP);
	skip_is(CODE("\x4c\x8b\x46\xff\x4c\x8b\x48\x4f\xc3"), 0, CLEW_INSN_OTHER);
	/* a comparison without its jump is not the stack check */
	skip_is(CODE("\x49\x3b\x66\x10\xc3"), 0, CLEW_INSN_OTHER);
	for (n = 1; n < 19; n++)
		clew_insn__skip((const uint8_t *)"\x4c\x8d\xa4\x24\x01\x02\x03\xff\x4d\x3b\x66\x10"
						 "\x0f\x86\x01\x02\x03\x04\x55",
				n);
}

static int open_elf(const char *path, int *ret_fd, struct clew_elf **ret)
{
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : clew_elf__new(*ret_fd, ret);
}

static void own_symbols(void **state)
{
	static const char *const names[] = {"no_such_symbol", "probe_test_marker", "test_marker",
					    "main"};
	struct clew_elf_sym sym[4];
	uint64_t off, addr, bias;
	enum clew_insn_class class;
	struct clew_elf *elf;
	uint8_t code[8];
	int fd;

	(void)state;
	assert_int_equal(open_elf("/proc/self/exe", &fd, &elf), 0);
	assert_true(clew_elf__is_x86_64(elf));
	assert_int_equal(clew_elf__syms(elf, names, 4, sym), 2);
	assert_int_equal(sym[0].addr, 0);
	assert_int_equal(sym[2].addr, 0); /* only the tail of a name */
	assert_int_equal(clew_elf__offset(elf, sym[1].addr, &off), 0);
	assert_int_equal(off, sym[1].off);
	/* what is in the file there is what runs */
	assert_int_equal(clew_elf__read_off(elf, off, code, sizeof(code)), 0);
	assert_memory_equal(code, (void *)probe_test_marker, sizeof(code));
	assert_int_equal(clew_elf__probe_addr(elf, sym[1].addr, &addr, &class), 0);
	assert_true(addr >= sym[1].addr && class != CLEW_INSN_UNKNOWN);
	assert_int_equal(probe_test_marker(2), 7);
	bias = (uint64_t)(uintptr_t)probe_test_marker - sym[1].addr;
	assert_int_equal(bias & 0xfff, 0);
	assert_int_equal(clew_elf__sym_contains(elf, "probe_test_mar"), 1);
	assert_int_equal(clew_elf__sym_contains(elf, "no such thing here"), 0);
	clew_elf__free(elf);
	close(fd);
}

struct tiny {
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	char str[32];
	char names[32];
	Elf64_Sym sym[3];
	Elf64_Shdr sh[4];
};

/* A file made by hand: one symbol's name is the tail of another's; .bss behind the file. */
static int tiny_elf(void)
{
	struct tiny t = {0};
	int fd = (int)memfd_create("tiny", MFD_CLOEXEC);

	memcpy(t.eh.e_ident, ELFMAG "\2\1\1", 7);
	t.eh.e_type = ET_EXEC;
	t.eh.e_machine = EM_X86_64;
	t.eh.e_phoff = offsetof(struct tiny, ph);
	t.eh.e_phentsize = sizeof(t.ph);
	t.eh.e_phnum = 1;
	t.eh.e_shoff = offsetof(struct tiny, sh);
	t.eh.e_shentsize = sizeof(t.sh[0]);
	t.eh.e_shnum = 4;
	t.eh.e_shstrndx = 1;
	t.ph = (Elf64_Phdr){.p_type = PT_LOAD,
			    .p_vaddr = 0x1000,
			    .p_filesz = sizeof(t),
			    .p_memsz = sizeof(t) + 16};
	memcpy(t.str, "\0abc\0", 6);
	memcpy(t.names, "\0.shstrtab\0.symtab\0.strtab\0", 28);
	t.sym[1] = (Elf64_Sym){.st_name = 2, .st_shndx = 1, .st_value = 0x1010, .st_size = 5};
	t.sym[2] = (Elf64_Sym){.st_name = 1, .st_shndx = 0, .st_value = 0x1020};
	t.sh[1] = (Elf64_Shdr){.sh_name = 1,
			       .sh_type = SHT_STRTAB,
			       .sh_offset = offsetof(struct tiny, names),
			       .sh_size = 32};
	t.sh[2] = (Elf64_Shdr){.sh_name = 11,
			       .sh_type = SHT_SYMTAB,
			       .sh_link = 3,
			       .sh_offset = offsetof(struct tiny, sym),
			       .sh_size = sizeof(t.sym)};
	t.sh[3] = (Elf64_Shdr){.sh_name = 19,
			       .sh_type = SHT_STRTAB,
			       .sh_offset = offsetof(struct tiny, str),
			       .sh_size = 32};
	assert_int_equal(write(fd, &t, sizeof(t)), sizeof(t));
	return fd;
}

static void made_by_hand(void **state)
{
	static const char *const names[] = {"bc", "abc", "c"};
	uint64_t end_addr = 0x1000 + sizeof(struct tiny), off;
	struct clew_elf_sym sym[3];
	struct clew_elf *elf;
	uint8_t buf[32];
	int fd = tiny_elf();

	(void)state;
	assert_int_equal(clew_elf__new(fd, &elf), 0);
	/* "abc" is undefined there, and nothing is called "c" */
	assert_int_equal(clew_elf__syms(elf, names, 3, sym), 1);
	assert_int_equal(sym[0].addr, 0x1010);
	assert_int_equal(sym[0].size, 5);
	assert_int_equal(sym[0].off, 0x10);
	/* beyond the file: zeros while memory lasts, then nothing */
	memset(buf, 0xaa, sizeof(buf));
	assert_int_equal(clew_elf__read(elf, end_addr - 4, buf, 20), 0);
	assert_int_equal(buf[4] | buf[19], 0);
	assert_int_equal(buf[20], 0xaa);
	assert_int_equal(clew_elf__read(elf, end_addr - 4, buf, 21), -ENOENT);
	assert_int_equal(clew_elf__read(elf, 0xfff, buf, 1), -ENOENT);
	assert_int_equal(clew_elf__offset(elf, end_addr, &off), -ENOENT);
	assert_int_equal(clew_elf__offset(elf, end_addr - 1, &off), 0);
	clew_elf__free(elf);
	close(fd);
}

struct file {
	uint8_t *p;
	size_t n;
};

static struct file load(const char *path)
{
	struct file f = {0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return f;
	assert_int_equal(fstat(fd, &st), 0);
	f.p = malloc((size_t)st.st_size);
	while (f.n < (size_t)st.st_size) {
		ssize_t got = read(fd, f.p + f.n, (size_t)st.st_size - f.n);

		assert_true(got > 0);
		f.n += (size_t)got;
	}
	close(fd);
	return f;
}

/* A file that claims 64 GB, and costs its owner nothing. */
static void endless(void **state)
{
	struct tiny t = {.eh = {.e_type = ET_DYN, .e_machine = EM_X86_64}};
	int fd = (int)memfd_create("elf", MFD_CLOEXEC);
	struct timespec from, to;
	struct clew_elf *elf;
	uint64_t off;

	(void)state;
	memcpy(t.eh.e_ident, "\177ELF\2\1\1", 7);
	assert_int_equal(write(fd, &t, sizeof(t)), (ssize_t)sizeof(t));
	assert_int_equal(ftruncate(fd, 1LL << 36), 0);
	assert_int_equal(clew_elf__new(fd, &elf), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	assert_int_equal(clew_elf__find(elf, 0, 1ULL << 36, "nothing", 7, &off), -ENOENT);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_true(to.tv_sec - from.tv_sec < 4);
	clew_elf__free(elf);
	close(fd);
}

/* Everything that discovery asks of a file. */
static void ask_all(const uint8_t *p, size_t n)
{
	static const char *const names[] = {"main", "_PyRuntime", "ngx_unix_send"};
	int fd = (int)memfd_create("elf", MFD_CLOEXEC);
	struct clew_python_facts py;
	struct clew_elf_sym sym[3];
	struct clew_go_facts go;
	struct clew_elf *elf;
	uint64_t addr;
	uint32_t off;

	assert_int_equal(write(fd, p, n), (ssize_t)n);
	if (!clew_elf__new(fd, &elf)) {
		clew_elf__syms(elf, names, 3, sym);
		clew_go__inspect(elf, &go);
		clew_python__inspect(elf, 11, "", &py);
		clew_python__task_init(elf, &addr);
		clew_python__specific(elf, &off);
		clew_elf__free(elf);
	}
	close(fd);
}

/* Small files that have everything: cut, flipped, and with section headers made up. */
static void hostile(void **state)
{
	static const char *const paths[] = {
		"/usr/lib/python3.11/lib-dynload/_asyncio.cpython-311-x86_64-linux-gnu.so",
		"/bin/true",
	};
	unsigned int seed = 11;
	size_t i, k;
	int round;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct file f = load(paths[i]), c;

		if (!f.p)
			continue;
		c.p = malloc(f.n);
		for (c.n = 0; c.n < f.n; c.n += c.n < 200 ? 1 : 997)
			ask_all(f.p, c.n);
		for (round = 0; round < 300; round++) {
			Elf64_Ehdr eh;

			memcpy(c.p, f.p, f.n);
			memcpy(&eh, f.p, sizeof(eh));
			for (k = 0; k < 8; k++) {
				/* most bytes hit a header: those steer the reader */
				size_t at = (size_t)rand_r(&seed);

				if (k < 3)
					at = at % (sizeof(eh) + eh.e_phnum * sizeof(Elf64_Phdr));
				else if (k < 7 && eh.e_shoff < f.n)
					at = eh.e_shoff + at % (f.n - eh.e_shoff);
				else
					at %= f.n;
				c.p[at] = rand_r(&seed) % 2 ? 0xff : (uint8_t)rand_r(&seed);
			}
			ask_all(c.p, f.n);
		}
		for (round = 0; round < 50; round++) {
			for (k = 0; k < 4096; k++)
				c.p[k] = (uint8_t)rand_r(&seed);
			memcpy(c.p, f.p, 16 + (size_t)(round % 48));
			ask_all(c.p, 4096);
		}
		free(c.p);
		free(f.p);
	}
}

static void shrinks_meanwhile(void **state)
{
	static const char *const names[] = {"main"};
	struct file f = load("/proc/self/exe");
	int fd = (int)memfd_create("elf", MFD_CLOEXEC);
	struct clew_elf_sym sym;
	struct clew_elf *elf;

	(void)state;
	assert_int_equal(write(fd, f.p, f.n), (ssize_t)f.n);
	assert_int_equal(clew_elf__new(fd, &elf), 0);
	assert_int_equal(clew_elf__syms(elf, names, 1, &sym), 1);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_true(clew_elf__syms(elf, names, 1, &sym) <= 0);
	clew_elf__free(elf);
	close(fd);
	free(f.p);
}

static void not_elf(void **state)
{
	struct clew_elf *elf;
	int fd;

	(void)state;
	assert_int_equal(open_elf("/etc/passwd", &fd, &elf), -EBADMSG);
	close(fd);
	assert_int_equal(open_elf("/", &fd, &elf), -EBADMSG);
	close(fd);
	assert_int_equal(open_elf("/dev/null", &fd, &elf), -EBADMSG);
	close(fd);
}

static void go_versions(void **state)
{
	(void)state;
	assert_non_null(clew_go__layout("go1.18"));
	assert_int_equal(clew_go__layout("go1.22.3")->goid, 152);
	assert_int_equal(clew_go__layout("go1.23.1")->goid, 160);
	assert_int_equal(clew_go__layout("go1.25.1 X:nodwarf5")->goid, 152);
	assert_null(clew_go__layout("go1.17.1"));
	assert_null(clew_go__layout("go1.99"));
	assert_null(clew_go__layout("go1.22rc1"));
	assert_null(clew_go__layout("go1.26-devel_abc"));
	assert_null(clew_go__layout("devel go1.22-abc"));
	assert_null(clew_go__layout("go2.0"));
	assert_null(clew_go__layout(""));
}

static void python_names(void **state)
{
	unsigned int minor;
	char abi[8];

	(void)state;
	assert_int_equal(clew_python__parse_name("libpython3.11.so.1.0", &minor, abi), 0);
	assert_int_equal(minor, 11);
	assert_string_equal(abi, "");
	assert_int_equal(clew_python__parse_name("python3.13t", &minor, abi), 0);
	assert_string_equal(abi, "t");
	assert_int_equal(clew_python__parse_name("libpython3.7m.so.1.0", &minor, abi), 0);
	assert_string_equal(abi, "m");
	assert_int_equal(clew_python__parse_name("python3", &minor, abi), -ENOENT);
	assert_int_equal(clew_python__parse_name("python3.", &minor, abi), -ENOENT);
	assert_int_equal(clew_python__parse_name("libpython3.so", &minor, abi), -ENOENT);
	assert_null(clew_python__layout(6));
	assert_int_equal(clew_python__layout(13)->task_ctx, 0x88);
}

/* The relocation route must find what the symbol says, for both forms of the type object. */
static void task_init_without_symbol(void **state)
{
	char path[256], out[] = "/tmp/clew-strip-XXXXXX", *home = getenv("HOME");
	static const char *const versions[] = {"3.8.18", "3.11.7", "3.12.1", "3.13.0"};
	int fd, done = 0, minor, tmp = mkstemp(out);
	size_t i;

	(void)state;
	close(tmp);
	for (i = 0; i < 4; i++) {
		char *argv[] = {"strip", "-o", out, path, NULL};
		uint64_t with = 0, without = 0;
		struct clew_elf *elf;

		minor = atoi(versions[i] + 2);
		snprintf(path, sizeof(path),
			 "%s/.pyenv/versions/%s/lib/python3.%d/lib-dynload/"
			 "_asyncio.cpython-3%d-x86_64-linux-gnu.so",
			 home ? home : "", versions[i], minor, minor);
		if (open_elf(path, &fd, &elf))
			continue;
		assert_int_equal(clew_python__task_init(elf, &with), 0);
		clew_elf__free(elf);
		close(fd);
		if (run(argv))
			continue;
		assert_int_equal(open_elf(out, &fd, &elf), 0);
		assert_int_equal(clew_python__task_init(elf, &without), 0);
		assert_int_equal(with, without);
		clew_elf__free(elf);
		close(fd);
		done++;
	}
	unlink(out);
	if (!done)
		skip();
}

/* By their documentation, which list shares: what the symbols say, where there are any. */
static void deque_methods(void **state)
{
	static const char *const versions[] = {"3.8.18", "3.10.13", "3.11.7", "3.12.1", "3.13.0"};
	static const char *const names[] = {"deque_append", "deque_popleft", "deque_remove"};
	char path[256], *home = getenv("HOME");
	struct clew_python_deque d;
	struct clew_elf_sym sym[3];
	struct clew_elf *elf;
	int fd, done = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		snprintf(path, sizeof(path), "%s/.pyenv/versions/%s/lib/libpython3.%d.so.1.0",
			 home ? home : "", versions[i], atoi(versions[i] + 2));
		if (open_elf(path, &fd, &elf))
			continue;
		if (clew_elf__syms(elf, names, 3, sym) == 3) {
			assert_int_equal(clew_python__deque(elf, &d), 0);
			assert_int_equal(d.append, sym[0].addr);
			assert_int_equal(d.popleft, sym[1].addr);
			assert_int_equal(d.remove, sym[2].addr);
			done++;
		}
		clew_elf__free(elf);
		close(fd);
	}
	if (!open_elf("/usr/bin/python3.11", &fd, &elf)) { /* not position independent, stripped */
		assert_int_equal(clew_python__deque(elf, &d), 0);
		clew_elf__free(elf);
		close(fd);
		done++;
	}
	if (!done)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions),	 cmocka_unit_test(own_symbols),
		cmocka_unit_test(made_by_hand),	 cmocka_unit_test(endless),
		cmocka_unit_test(hostile),	 cmocka_unit_test(shrinks_meanwhile),
		cmocka_unit_test(not_elf),	 cmocka_unit_test(go_versions),
		cmocka_unit_test(python_names),	 cmocka_unit_test(task_init_without_symbol),
		cmocka_unit_test(deque_methods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
