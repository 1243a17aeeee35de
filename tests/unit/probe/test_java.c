/* SPDX-License-Identifier: Apache-2.0 */
/* A JVM's own description, where it is what it should be and where it is garbage. */
#include "spawn.h"

#include <sys/mman.h>

#include "probe/java_runtime.h"
#include "probe/runtime.h"

static int memory_of(const void *bytes, size_t n)
{
	int fd = memfd_create("memory", 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	return fd;
}

/* Random words, most of them small enough to be followed as addresses of this very memory. */
static void garbage(void **state)
{
	enum { WORDS = 8192 };
	uint64_t *w = calloc(WORDS, sizeof(*w)), r = 88172645463325252ULL;
	struct clew_java_facts f = {.found = true};
	struct clew_java_live live;

	(void)state;
	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < WORDS; i++) {
			r ^= r << 13;
			r ^= r >> 7;
			r ^= r << 17;
			w[i] = r >> 60 ? r % (WORDS * 8) : r;
		}
		for (int i = 0; i < CLEW_JAVA_SYMS; i++) {
			f.sym[i] = 8 + (uint64_t)i * 8;
			w[i + 1] = round % 2 ? w[i + 1] % 48 : w[i + 1];
		}
		w[1 + CLEW_JAVA_STRUCTS] = 4096;
		w[1 + CLEW_JAVA_TYPES] = 8192;
		int fd = memory_of(w, WORDS * sizeof(*w));

		assert_true(clew_java__live(fd, &f, 0, &live) < 0);
		assert_false(live.objects);
		close(fd);
	}
	free(w);
}

static void nothing_there(void **state)
{
	struct clew_java_facts f = {.found = true};
	struct clew_java_live live;
	int fd = memory_of("", 0);

	(void)state;
	assert_int_equal(clew_java__live(fd, &f, 0x1000, &live), -ESRCH);
	close(fd);
}

/* A real one, when there is one; its virtual threads and its pools are known by then. */
static void live_jvm(void **state)
{
	static char code[] = "import java.util.concurrent.*;"
			     "class A { public static void main(String[] a) throws Exception {"
			     "Executors.newFixedThreadPool(2).submit(() -> 1).get();"
			     "System.out.println(1); Thread.sleep(60000); } }";
	char dir[] = "/tmp/clew-java-XXXXXX", file[64];
	struct clew_runtime rt;
	pid_t pid;
	FILE *out;

	(void)state;
	if (system("command -v javac > /dev/null 2>&1"))
		skip();
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/A.java", dir);
	out = fopen(file, "w");
	assert_non_null(out);
	fputs(code, out);
	fclose(out);
	pid = spawn((char *[]){"java", file, NULL}, 1);
	assert_true(pid > 0);
	assert_int_equal(clew_runtime__discover(NULL, (uint32_t)pid, &rt), 0);
	assert_int_equal(rt.kind, CLEW_RT_JAVA);
	assert_string_equal(rt.name, "java");
	assert_string_equal(rt.why, "");
	assert_false(rt.pending);
	assert_true(rt.entry.java_self && rt.entry.java_eetop && rt.entry.java_tid);
	assert_true(rt.entry.java_worker && rt.entry.java_w_done && rt.entry.java_target);
	assert_true(rt.entry.flags & CLEW_PROC_THREADS);
	end(pid);
	unlink(file);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(garbage),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(live_jvm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
