/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_elf.c - the program files of other people's processes: ELF reader, Go's build info and
 * function table, CPython's type objects. libFuzzer entry; the input is the file.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe/elf.h"
#include "probe/go_runtime.h"
#include "probe/python_runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see_word(void *arg, uint64_t where, uint64_t value)
{
	*(uint64_t *)arg += where ^ value;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"main", "_PyRuntime", "ngx_unix_send", "a"};
	static const char *const funcs[] = {"main.main", "net/http.serverHandler.ServeHTTP"};
	int fd = memfd_create("elf", MFD_CLOEXEC);
	struct clew_python_facts py;
	struct clew_elf_sym sym[4];
	enum clew_insn_class class;
	struct clew_go_facts go;
	uint64_t addr[2], sum = 0;
	struct clew_elf *elf;
	uint8_t id[64];
	uint32_t off;
	size_t n;

	clew_insn__class(data + clew_insn__skip(data, size), size - clew_insn__skip(data, size));
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || clew_elf__new(fd, &elf))
		goto out;
	if (clew_elf__syms(elf, names, 4, sym) > 0)
		clew_elf__probe_addr(elf, sym[0].addr, &addr[0], &class);
	clew_elf__sym_contains(elf, "tokio");
	clew_elf__each_relative(elf, see_word, &sum);
	clew_elf__build_id(elf, id, sizeof(id), &n);
	clew_elf__bias(elf, 0x7f0000000000, 0, &addr[0]);
	clew_go__inspect(elf, &go);
	clew_go__pclntab(elf, funcs, 2, addr);
	clew_python__inspect(elf, 0, "", &py);
	clew_python__task_init(elf, &addr[0]);
	clew_python__specific(elf, &off);
	clew_elf__free(elf);
out:
	if (fd >= 0)
		close(fd);
	return 0;
}
