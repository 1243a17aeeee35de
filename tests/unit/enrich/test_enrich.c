/* SPDX-License-Identifier: Apache-2.0 */
/* Whose span it is: what is learnt from PROC_INFO, FORK and EXIT, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <clew/enrich.h>

#include "../events.h"

#define SEC 1000000000ULL

struct fixture {
	struct clew_config cfg;
	struct clew_enrich *en;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->cfg.capture.max_processes = 8;
	f->en = clew_enrich__new(&f->cfg);
	assert_non_null(f->en);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clew_enrich__free(f->en);
	clew_enrich__free(NULL);
	free(f);
	return 0;
}

static void info(struct fixture *f, uint32_t pid, uint16_t runtime, const char *name)
{
	char text[64] = "service.name";
	size_t n = sizeof("service.name");
	struct clew_proc_info *ev;

	memcpy(text + n, name, strlen(name) + 1);
	n += strlen(name) + 1;
	n += (size_t)snprintf(text + n, sizeof(text) - n, "process.pid%c%u", 0, pid) + 1;
	ev = event__info(pid, runtime, text, n, SEC);
	clew_enrich__event(f->en, &ev->h);
	free(ev);
}

static void proc(struct fixture *f, uint8_t type, uint32_t pid, uint32_t other, uint64_t ts)
{
	struct clew_proc_event ev = event__proc(type, pid, other, ts);

	clew_enrich__event(f->en, &ev.h);
}

static void assert_name(struct fixture *f, uint32_t pid, const char *want)
{
	struct clew_resource *res = clew_enrich__resource(f->en, pid);

	assert_non_null(res);
	for (uint32_t i = 0; i < res->nr_attrs; i++)
		if (!strcmp(res->attrs[i].key, "process.pid"))
			assert_int_equal(res->attrs[i].i, pid);
	assert_int_equal(res->service_name.n, strlen(want));
	assert_memory_equal(res->service_name.p, want, strlen(want));
}

static void test_info(void **state)
{
	struct fixture *f = *state;

	assert_name(f, 1, "unknown_service");
	assert_int_equal(clew_enrich__runtime(f->en, 1), CLEW_RT_OTHER);
	info(f, 1, CLEW_RT_GO, "api");
	assert_name(f, 1, "api");
	assert_name(f, 2, "unknown_service");
	assert_int_equal(clew_enrich__runtime(f->en, 1), CLEW_RT_GO);
	assert_int_equal(clew_enrich__resource(f->en, 1)->pid, 1);
	info(f, 1, CLEW_RT_PYTHON, "other"); /* it replaced its program */
	assert_name(f, 1, "other");
	assert_int_equal(clew_enrich__runtime(f->en, 1), CLEW_RT_PYTHON);
}

/* Spans hold a reference: a resource outlives what the process becomes. */
static void test_reference(void **state)
{
	struct fixture *f = *state;
	struct clew_resource *res;

	info(f, 1, 0, "api");
	res = clew_resource__get(clew_enrich__resource(f->en, 1));
	info(f, 1, 0, "other");
	assert_memory_equal(res->service_name.p, "api", 3);
	assert_int_equal(res->refs, 1);
	clew_resource__put(res);
}

static void test_malformed_info(void **state)
{
	static const char text[] = "service.name\0api";
	struct fixture *f = *state;
	struct clew_proc_info *ev = event__info(1, 0, text, sizeof(text), SEC);

	ev->text_len++; /* more than there is */
	clew_enrich__event(f->en, &ev->h);
	assert_name(f, 1, "unknown_service");
	ev->text_len -= 2; /* its last NUL is missing */
	clew_enrich__event(f->en, &ev->h);
	assert_name(f, 1, "unknown_service");
	ev->text_len++;
	clew_enrich__event(f->en, &ev->h);
	assert_name(f, 1, "api");
	ev->text_len--; /* nor does a bad one harm what is known */
	clew_enrich__event(f->en, &ev->h);
	assert_name(f, 1, "api");
	free(ev);
}

static void test_fork(void **state)
{
	struct fixture *f = *state;

	proc(f, CLEW_EV_FORK, 1, 2, SEC); /* of a parent that nobody knows */
	assert_name(f, 2, "unknown_service");
	assert_int_equal(clew_enrich__runtime(f->en, 2), CLEW_RT_OTHER);
	info(f, 1, CLEW_RT_PYTHON, "api");
	proc(f, CLEW_EV_FORK, 1, 2, SEC);
	assert_name(f, 2, "api");
	assert_int_equal(clew_enrich__runtime(f->en, 2), CLEW_RT_PYTHON);
	proc(f, CLEW_EV_FORK, 2, 3, SEC);
	assert_name(f, 3, "api");
	info(f, 2, CLEW_RT_GO, "child"); /* its own, once it is known */
	assert_name(f, 2, "child");
	assert_name(f, 1, "api");
	assert_name(f, 3, "api");
	proc(f, CLEW_EV_FORK, 1, 1, SEC); /* nonsense, but harmless */
	assert_name(f, 1, "api");
}

static void test_exec(void **state)
{
	struct fixture *f = *state;

	info(f, 1, CLEW_RT_PYTHON, "api");
	proc(f, CLEW_EV_FORK, 1, 2, SEC);
	proc(f, CLEW_EV_EXEC, 2, 0, SEC); /* not traced: the agent will look at it */
	assert_name(f, 2, "api");
	proc(f, CLEW_EV_EXEC, 2, 1, SEC); /* no longer its parent's program */
	assert_name(f, 2, "unknown_service");
	assert_int_equal(clew_enrich__runtime(f->en, 2), CLEW_RT_OTHER);
	assert_int_equal(clew_enrich__resource(f->en, 2)->pid, 2);
	proc(f, CLEW_EV_FORK, 2, 3, SEC);
	assert_name(f, 3, "unknown_service");
	info(f, 2, CLEW_RT_GO, "job");
	assert_name(f, 2, "job");
	assert_name(f, 1, "api");
}

static void test_exit(void **state)
{
	struct fixture *f = *state;

	info(f, 1, CLEW_RT_GO, "api");
	proc(f, CLEW_EV_FORK, 1, 2, SEC);
	proc(f, CLEW_EV_EXIT, 1, 0, 5 * SEC);
	proc(f, CLEW_EV_EXIT, 99, 0, 5 * SEC);
	assert_name(f, 1, "api"); /* its last spans may still wait */
	clew_enrich__tick(f->en, 15 * SEC);
	assert_name(f, 1, "api");
	clew_enrich__tick(f->en, 15 * SEC + 1);
	assert_name(f, 1, "unknown_service");
	assert_name(f, 2, "api"); /* the child runs on, with what it has from its parent */
	/* a pid that is used again does not end with the one before */
	info(f, 3, 0, "old");
	proc(f, CLEW_EV_EXIT, 3, 0, 20 * SEC);
	info(f, 3, 0, "new");
	clew_enrich__tick(f->en, 100 * SEC);
	assert_name(f, 3, "new");
}

static void test_bounds(void **state)
{
	struct fixture *f = *state;

	for (uint32_t pid = 1; pid <= 20; pid++)
		info(f, pid, CLEW_RT_GO, "api");
	assert_name(f, 8, "api");
	assert_name(f, 9, "unknown_service");
	proc(f, CLEW_EV_FORK, 1, 9, SEC);
	assert_name(f, 9, "unknown_service");
	info(f, 8, CLEW_RT_GO, "newer"); /* those that are there can change */
	assert_name(f, 8, "newer");
	proc(f, CLEW_EV_EXIT, 1, 0, SEC);
	clew_enrich__tick(f->en, 60 * SEC);
	info(f, 9, CLEW_RT_GO, "late");
	assert_name(f, 9, "late");
	assert_name(f, 1, "unknown_service");
}

static void test_marks(void **state)
{
	struct fixture *f = *state;

	assert_false(clew_enrich__mark(f->en, 1, 3)); /* unknown: nobody to mark */
	assert_false(clew_enrich__marked(f->en, 1, 3));
	info(f, 1, CLEW_RT_GO, "api");
	assert_true(clew_enrich__mark(f->en, 1, 3));
	assert_false(clew_enrich__mark(f->en, 1, 3)); /* once */
	assert_true(clew_enrich__marked(f->en, 1, 3));
	assert_false(clew_enrich__marked(f->en, 1, 2));
	proc(f, CLEW_EV_FORK, 1, 2, SEC);
	assert_false(clew_enrich__marked(f->en, 2, 3)); /* the child was not asked for */
	info(f, 1, CLEW_RT_GO, "again"); /* another program: its probes are to be asked for anew */
	assert_true(clew_enrich__mark(f->en, 1, 3));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_info), TEST(test_reference), TEST(test_malformed_info), TEST(test_fork),
		TEST(test_exec), TEST(test_exit),      TEST(test_bounds),	  TEST(test_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
