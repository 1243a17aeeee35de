/* SPDX-License-Identifier: Apache-2.0 */
/* A JVM's own description, where it is what it should be and where it is garbage. */
#include "spawn.h"

#include <sys/mman.h>
#include <time.h>

#include "probe/java_runtime.h"
#include "probe/look.h"
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

/* ---- a JVM by hand: addresses are offsets in its memory ------------------------------------- */

enum {
	SYMS = 8,
	STRUCTS = 256,
	TYPES = 4096,
	THREAD = 4608,
	POOL = 5120,
	FREE = 6144,
	SIZE = 65536,
	MADE = 8, /* threads */
};

struct jvm {
	uint8_t mem[SIZE];
	uint64_t free, entry, tcb[MADE];
	struct clew_java_facts facts;
};

static void set(struct jvm *j, uint64_t at, uint64_t value)
{
	memcpy(j->mem + at, &value, 8);
}

static uint64_t put(struct jvm *j, const void *p, size_t n)
{
	uint64_t at = j->free;

	memcpy(j->mem + at, p, n);
	j->free += (n + 15) & ~7ULL;
	return at;
}

static uint64_t put_word(struct jvm *j, uint64_t value)
{
	return put(j, &value, 8);
}

static uint64_t put_text(struct jvm *j, const char *text)
{
	return put(j, text, strlen(text) + 1);
}

/* One line of gHotSpotVMStructs: an offset, or a static and what it holds. */
static void describe(struct jvm *j, const char *type, const char *field, bool is_static, uint64_t v)
{
	set(j, j->entry, put_text(j, type));
	set(j, j->entry + 8, put_text(j, field));
	set(j, j->entry + 24, is_static);
	set(j, j->entry + (is_static ? 40 : 32), is_static ? put_word(j, v) : v);
	j->entry += 48;
}

/* Some threads, and one class, java.lang.Thread, which is its own successor. */
static struct jvm *made(const char *version)
{
	static const struct {
		const char *type, *field;
		uint64_t off;
	} offsets[] = {
		{"JavaThread", "_threadObj", 8},
		{"JavaThread", "_vthread", 16},
		{"JavaThread", "_osthread", 24},
		{"OSThread", "_thread_id", 8},
		{"OSThread", "_pthread_id", 16},
		{"ThreadsList", "_length", 0},
		{"ThreadsList", "_threads", 8},
		{"CollectedHeap", "_total_collections", 0},
		{"CollectedHeap", "_is_gc_active", 8},
		{"Klass", "_name", 8},
		{"Klass", "_next_link", 16},
		{"Klass", "_class_loader_data", 24},
		{"ClassLoaderData", "_klasses", 32},
		{"InstanceKlass", "_fieldinfo_stream", 40},
		{"InstanceKlass", "_constants", 48},
		{"Symbol", "_length", 0},
		{"Symbol", "_body", 2},
		{"JVMFlag", "_name", 0},
		{"JVMFlag", "_addr", 8},
	};
	static const uint64_t words[CLEW_JAVA_SYMS] = {STRUCTS, 0,     8, 24, 32, 40,
						       48,	TYPES, 0, 8,  16};
	struct jvm *j = calloc(1, sizeof(*j));
	uint64_t threads[MADE], list[2] = {MADE}, flags[4], one;

	assert_non_null(j);
	j->free = FREE;
	j->entry = STRUCTS;
	one = put_word(j, 1);
	for (int i = 0; i < CLEW_JAVA_SYMS; i++) {
		j->facts.sym[i] = SYMS + 8 * (uint64_t)i;
		set(j, j->facts.sym[i], words[i]);
	}
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		describe(j, offsets[i].type, offsets[i].field, false, offsets[i].off);
	for (int i = 0; i < MADE; i++) {
		uint64_t tcb = put(j, j->mem + 32768, 1536), os[] = {0, 5, tcb};
		uint64_t jt[] = {0, 0, 0, put(j, os, sizeof(os))};

		threads[i] = put(j, jt, sizeof(jt));
		set(j, tcb, tcb);
		set(j, tcb + 64, threads[i]);
		set(j, tcb + 8, (uint64_t)i);
		j->tcb[i] = tcb;
	}
	list[1] = put(j, threads, sizeof(threads));
	flags[0] = put_text(j, "UseG1GC");
	flags[2] = put_text(j, "UseCompressedOops");
	flags[1] = flags[3] = one;
	describe(j, "ThreadsSMRSupport", "_java_thread_list", true, put(j, list, sizeof(list)));
	describe(j, "Universe", "_collectedHeap", true, one);
	describe(j, "JVMFlag", "flags", true, put(j, flags, sizeof(flags)));
	describe(j, "JVMFlag", "numFlags", true, 2);
	describe(j, "CompressedOops", "_base", true, 0);
	describe(j, "CompressedOops", "_shift", true, 3);
	describe(j, "Abstract_VM_Version", "_s_vm_release", true, put_text(j, version));
	describe(j, "Abstract_VM_Version", "_vm_major_version", true, 21);
	describe(j, "vmClasses", "_klasses[static_cast<int>(vmClassID::Thread_klass_knum)]", true,
		 THREAD);
	set(j, TYPES, put_text(j, "ConstantPool"));
	set(j, TYPES + 8, 8);
	set(j, TYPES + 16, put_text(j, "JVMFlag"));
	set(j, TYPES + 24, 16);
	set(j, THREAD + 8, put(j, "\x10\0java/lang/Thread", 19));
	set(j, THREAD + 16, THREAD);
	set(j, THREAD + 24, THREAD);
	set(j, THREAD + 32, THREAD);
	set(j, THREAD + 48, POOL);
	return j;
}

static int look(struct jvm *j, struct clew_java_live *live)
{
	int fd = memory_of(j->mem, sizeof(j->mem)), err;

	err = clew_java__live(fd, &j->facts, 0, live);
	close(fd);
	free(j);
	return err;
}

/* The version is text of the process: it is printed, and exported as UTF-8. */
static void version_unprintable(void **state)
{
	struct clew_java_live live;

	(void)state;
	assert_int_equal(look(made("21.0.1\x1b[2J\xff"), &live), 0);
	assert_int_equal(live.entry.java_self, 64);
	assert_string_equal(live.version, "21.0.1");
}

/* Threads that are just being started do not know their JavaThread yet. */
static void starting(void **state)
{
	struct clew_java_live live;
	struct jvm *j;

	(void)state;
	for (int n = 2; n <= 3; n++) {
		j = made("17.0.1");
		for (int i = 0; i < n; i++)
			set(j, j->tcb[i] + 64, 0);
		assert_int_equal(look(j, &live), n == 2 ? 0 : -EINVAL);
		assert_int_equal(live.entry.java_self, n == 2 ? 64 : 0);
		assert_true(live.pending || n == 2); /* too many: it is looked at again */
	}
}

/* A list of classes without an end, each with fields to read: minutes, if nobody counted. */
static void classes_endless(void **state)
{
	struct jvm *j = made("21.0.1");
	uint8_t stream[1 + 5 * 180 + 8];
	struct clew_java_live live;
	struct timespec from, to;
	uint32_t len = sizeof(stream);

	(void)state;
	memset(stream, 1, sizeof(stream));
	stream[0] = 181; /* fields; the name of each is the first in the pool */
	for (size_t i = 2; i < sizeof(stream); i += 5)
		stream[i] = 2;
	memcpy(j->mem + 16384, &len, 4);
	memcpy(j->mem + 16388, stream, sizeof(stream));
	set(j, THREAD + 40, 16384);
	set(j, POOL + 16, put(j, "\x01\0a", 4));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	assert_int_equal(look(j, &live), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_false(live.objects);
	assert_true(to.tv_sec - from.tv_sec < 20);
}

/* A real one, when there is one; its virtual threads and its pools are known by then. */
static void live_jvm(void **state)
{
	static char code[] = "import java.util.concurrent.*;"
			     "class A { public static void main(String[] a) throws Exception {"
			     "ExecutorService e = Executors.newFixedThreadPool(2);"
			     "e.submit(() -> 1).get();"
			     "CompletableFuture.runAsync(() -> { try { Thread.sleep(60000); }"
			     " catch (Exception x) { } }, e);"
			     "CompletableFuture.supplyAsync(() -> { try { Thread.sleep(100); }"
			     " catch (Exception x) { } return 1; }, e).thenApply(x -> x).join();"
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
	assert_true(rt.entry.java_self && rt.entry.java_eetop && rt.entry.java_tid);
	assert_true(rt.entry.java_worker && rt.entry.java_w_done && rt.entry.java_target);
	assert_true(rt.entry.flags & CLEW_PROC_THREADS);
	assert_true(rt.java_wait.stack_base && rt.java_wait.first);
	assert_true(rt.java_wait.future && rt.java_wait.runner && rt.java_wait.waiters);
	assert_true(rt.java_wait.node_thread && rt.java_wait.node_next);
	assert_true(rt.java_wait.completable && rt.java_wait.result && rt.java_wait.stack);
	assert_true(rt.java_wait.signaller && rt.java_wait.sig_thread && rt.java_wait.next);
	assert_true(rt.java_wait.async[0] && rt.java_wait.async[1] && rt.java_wait.dep);
	end(pid);
	unlink(file);
	rmdir(dir);
}

/* A look at a JVM whose collector moves things must not take away what an earlier one has found. */
static void later_look_finds_less(void **state)
{
	struct clew_runtime was = {.kind = CLEW_RT_JAVA}, now;

	(void)state;
	was.entry.java_eetop = 24;
	was.java_wait.completable = 1 << 16;
	now = was;
	assert_false(clew_java__lacks(&now, &was));
	now.java_wait.first = 40;
	assert_false(clew_java__lacks(&now, &was));
	assert_true(clew_java__lacks(&was, &now));
	now.entry.java_eetop = 0;
	assert_true(clew_java__lacks(&now, &was));
	now = was;
	now.java_wait.completable = 0;
	assert_true(clew_java__lacks(&now, &was));
	now = was;
	now.kind = CLEW_RT_OTHER;
	assert_true(clew_java__lacks(&now, &was));
	assert_false(clew_java__lacks(&was, &now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(garbage),	 cmocka_unit_test(later_look_finds_less),
		cmocka_unit_test(nothing_there), cmocka_unit_test(version_unprintable),
		cmocka_unit_test(starting),	 cmocka_unit_test(classes_endless),
		cmocka_unit_test(live_jvm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
