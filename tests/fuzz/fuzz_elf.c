/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_elf.c - the program files of other people's processes: ELF reader, Go's build info and
 * function table, CPython's type objects, what is concluded from them; and their memory, where
 * CPython's thread states are looked up. The input is the file, or the memory.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe/elf.h"
#include "probe/facts.h"
#include "probe/go_runtime.h"
#include "probe/python_runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see_word(void *arg, uint64_t where, uint64_t value)
{
	*(uint64_t *)arg += where ^ value;
	return 0;
}

/* All that discovery asks a file, in every role it can have. */
static void facts(int fd)
{
	static const char *const names[] = {"app", "python3.11", "python3.13t", "node"};
	struct clew_facts f;

	for (int role = CLEW_FILE_EXE; role <= CLEW_FILE_NODE; role++)
		clew_facts__get(NULL, fd, (enum clew_file_role)role, "app", &f);
	for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++)
		clew_facts__get(NULL, fd, CLEW_FILE_EXE, names[i], &f);
}

/* The file as memory: everything that is believed there is an address in it. */
static void memory(int fd)
{
	struct clew_python_facts py = {.runtime = 64, .context_type = 128};
	uint32_t threads;
	int32_t key;

	for (unsigned int minor = 8; minor <= 13; minor++) {
		py.layout = clew_python__layout(minor);
		if (py.layout)
			clew_python__live(fd, &py, 0, 0x100, &key, &threads);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"main", "_PyRuntime", "ngx_unix_send", "a"};
	static const char *const funcs[] = {"main.main", "net/http.serverHandler.ServeHTTP"};
	int fd = memfd_create("elf", MFD_CLOEXEC);
	struct clew_python_facts py;
	struct clew_elf_sym sym[4];
	enum clew_insn_class class;
	struct clew_rust_facts rust;
	struct clew_ruby_facts ruby;
	struct clew_go_facts go;
	uint64_t addr[2], sum = 0;
	struct clew_elf *elf;
	uint32_t off;
	uint16_t index = 0;
	int32_t task;
	uint8_t reg = 0;

	clew_rust__task_offset(data, size, &task);
	clew_rust__push(data, size, &addr[0], &reg);
	clew_rust__find_block(data, size);
	clew_rust__pop(data, size, &reg, &index);
	clew_rust__take(data, size, reg, index, &addr[0], &reg);
	clew_insn__class(data + clew_insn__skip(data, size), size - clew_insn__skip(data, size));
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		goto out;
	memory(fd);
	if (clew_elf__new(fd, &elf))
		goto out;
	facts(fd);
	if (clew_elf__syms(elf, names, 4, sym) > 0)
		clew_elf__probe_addr(elf, sym[0].addr, &addr[0], &class);
	clew_elf__sym_contains(elf, "tokio");
	clew_elf__each_relative(elf, see_word, &sum);
	clew_elf__bias(elf, 0x7f0000000000, 0, &addr[0]);
	clew_go__inspect(elf, &go);
	clew_go__pclntab(elf, funcs, 2, addr);
	clew_rust__inspect(elf, &rust);
	clew_ruby__inspect(elf, &ruby);
	clew_python__inspect(elf, 0, "", &py);
	clew_python__task_init(elf, &addr[0]);
	clew_python__specific(elf, &off);
	clew_elf__free(elf);
out:
	if (fd >= 0)
		close(fd);
	return 0;
}
