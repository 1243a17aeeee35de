/* SPDX-License-Identifier: Apache-2.0 */
/* app.h - one traced process with four connections in and four out, and who may run in it. */
#ifndef CLEW_TEST_APP_H
#define CLEW_TEST_APP_H

#include "sim.h"

enum { APP = 10 };

INLINE struct who thread(uint32_t tid)
{
	return (struct who){.pid = APP, .tid = tid, .kind = CLEW_CTX_THREAD};
}

/* asyncio: one loop thread; in context `ctx`, in loop turn `turn` */
INLINE struct who py(uint32_t turn, uint64_t ctx, uint64_t task)
{
	return (struct who){.pid = APP,
			    .tid = 100,
			    .turn = turn,
			    .kind = CLEW_CTX_PYTHON,
			    .flags = CLEW_SEG_LOOP,
			    .ctx = ctx,
			    .ref = task};
}

INLINE struct who go(uint64_t goid)
{
	return (struct who){.pid = APP,
			    .tid = 200 + (uint32_t)goid % 4,
			    .kind = CLEW_CTX_GO,
			    .ctx = goid,
			    .flags = CLEW_SEG_LOOP};
}

struct app {
	struct sim sim;
	struct sim_conn in[4], out[4];
};

INLINE int setup(void **state)
{
	struct app *a = calloc(1, sizeof(*a));
	int i;

	sim_init(&a->sim);
	for (i = 0; i < 4; i++) {
		sim_connect(&a->sim, &a->in[i], 0, APP, 80);
		sim_connect(&a->sim, &a->out[i], APP, 0, 81);
	}
	*state = a;
	return 0;
}

INLINE int teardown(void **state)
{
	struct app *a = *state;

	sim_free(&a->sim);
	free(a);
	return 0;
}

INLINE struct sim_ex *rx(struct app *a, int conn, struct who w)
{
	return sim_recv(&a->sim, &a->in[conn], &w, "/in");
}

INLINE struct sim_ex *tx(struct app *a, int conn, struct who w)
{
	return sim_send(&a->sim, &a->out[conn], &w, "/out");
}

INLINE void end(struct app *a, struct sim_ex *se, struct who w)
{
	sim_answer(&a->sim, se, &w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
