/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parsers on tests/fixtures: each conversation whole, byte by byte, with every
 * single cut, in random pieces, with a gap at every position, and with garbage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>

#include "harness.h"

#define FIXTURES_MAX 64
#define EXPECT_MAX   16

struct expect {
	char method[16], target[64];
	int status, incomplete, upgraded;
	unsigned long req_body, resp_body;
};

struct fixture {
	const struct clew_proto_ops *ops;
	char name[64];
	struct talk talk;
	struct expect expect[EXPECT_MAX];
	size_t n, dropped;
	int switches, nogap, nocut;
};

static struct fixture fixtures[FIXTURES_MAX];
static size_t nr_fixtures;

static const char *const bits[] = {
	"request_head", "request_body", "response_head", "response_body", "aborted",
	"no_response",	"gap"};

static size_t unescape(const char *s, uint8_t *to)
{
	size_t n = 0;

	for (; *s && *s != '\n'; s++) {
		if (*s != '\\') {
			to[n++] = (uint8_t)*s;
			continue;
		}
		s++;
		if (*s == 'x') {
			char hex[3] = {s[1], s[2], 0};

			to[n++] = (uint8_t)strtoul(hex, NULL, 16);
			s += 2;
		} else {
			to[n++] = *s == 'r'   ? '\r'
				  : *s == 'n' ? '\n'
				  : *s == 't' ? '\t'
				  : *s == '0' ? 0
					      : (uint8_t)*s;
		}
	}
	return n;
}

static void parse_expect(struct fixture *f, const char *line)
{
	struct expect *e = &f->expect[f->n++];
	char flags[128];

	MUST(f->n <= EXPECT_MAX);
	MUST(sscanf(line, "= %15s %63s %d %lu %lu %127s", e->method, e->target, &e->status,
		    &e->req_body, &e->resp_body, flags) == 6);
	for (char *save, *w = strtok_r(flags, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		int known = !strcmp(w, "-");

		if (!strcmp(w, "upgraded"))
			known = e->upgraded = 1;
		for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
			if (!strcmp(w, bits[i]))
				known = 1, e->incomplete |= 1 << i;
		MUST(known);
	}
}

static void parse_line(struct fixture *f, const char *line)
{
	static uint8_t buf[600000];
	int server = line[0] == 'S';
	size_t n;
	char c;

	if (line[0] == '#' || line[0] == '\n')
		return;
	if (line[0] == '=') {
		parse_expect(f, line);
	} else if (line[0] == '!') {
		f->switches |= !!strstr(line, "switch");
		f->nogap |= !!strstr(line, "nogap");
		f->nocut |= !!strstr(line, "nocut");
		sscanf(line, "! dropped %zu", &f->dropped);
	} else if (line[1] == ':') {
		n = unescape(line + 3, buf);
		talk__add(&f->talk, server, EV_DATA, buf, n);
	} else if (line[1] == '+' || line[1] == '*') {
		MUST(f->talk.n && f->talk.ev[f->talk.n - 1].server == server);
		if (line[1] == '+') {
			n = unescape(line + 3, buf);
		} else {
			MUST(sscanf(line + 2, " %zu %c", &n, &c) == 2 && n <= sizeof(buf));
			memset(buf, c, n);
		}
		talk__append(&f->talk.ev[f->talk.n - 1], buf, n);
	} else {
		MUST(!strncmp(line + 1, " eof", 4));
		talk__add(&f->talk, server, EV_EOF, NULL, 0);
	}
}

static void load_folder(const char *folder, const struct clew_proto_ops *ops)
{
	size_t before = nr_fixtures;
	struct dirent *de;
	DIR *dir = opendir(folder);

	MUST(dir);
	while ((de = readdir(dir))) {
		struct fixture *f = &fixtures[nr_fixtures];
		char path[512], *line = NULL;
		size_t size = 0;
		FILE *in;

		if (!strstr(de->d_name, ".txt"))
			continue;
		MUST(nr_fixtures++ < FIXTURES_MAX);
		f->ops = ops;
		snprintf(f->name, sizeof(f->name), "%.60s", de->d_name);
		snprintf(path, sizeof(path), "%s/%.200s", folder, de->d_name);
		in = fopen(path, "r");
		MUST(in);
		while (getline(&line, &size, in) > 0)
			parse_line(f, line);
		free(line);
		fclose(in);
	}
	closedir(dir);
	MUST(nr_fixtures - before > 10);
}

static int load(void **state)
{
	(void)state;
	load_folder("tests/fixtures/http1", &clew_http1);
	load_folder("tests/fixtures/fastcgi", &clew_fastcgi);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++)
		talk__free(&fixtures[i].talk);
	return 0;
}

static void check(const struct fixture *f, struct player *pl, const char *how, size_t a, size_t b)
{
	size_t k = 0;

	player__close(pl);
	for (size_t i = 0; i < pl->sink.n; i++) {
		const struct clew_exchange *ex = &pl->sink.rec[i].copy;
		const struct expect *e = &f->expect[k];

		if (pl->sink.rec[i].end != REC_DONE)
			continue;
		if (k >= f->n || !text_is(ex, ex->method, e->method) ||
		    !text_is(ex, ex->target, e->target) || ex->status != e->status ||
		    ex->req_body != e->req_body || ex->resp_body != e->resp_body ||
		    ex->incomplete != e->incomplete || ex->upgraded != e->upgraded)
			fail_msg("%s %s %zu/%zu: exchange %zu: %.*s %u %lu %lu inc %x up %u",
				 f->name, how, a, b, k, (int)ex->target.len,
				 ex->text + ex->target.off, ex->status, ex->req_body, ex->resp_body,
				 ex->incomplete, ex->upgraded);
		k++;
	}
	if (k != f->n || sink__count(&pl->sink, REC_DROPPED) != f->dropped)
		fail_msg("%s %s %zu/%zu: %zu exchanges, %zu dropped", f->name, how, a, b, k,
			 sink__count(&pl->sink, REC_DROPPED));
	if (f->switches != (pl->verdict == CLEW_PROTO_SWITCH))
		fail_msg("%s %s: verdict %d", f->name, how, pl->verdict);
	player__fini(pl);
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		for (int client = 0; client < 2; client++) {
			struct player pl;

			player__init(&pl, fixtures[i].ops, client);
			for (size_t k = 0; k < fixtures[i].talk.n; k++)
				player__event(&pl, &fixtures[i].talk.ev[k]);
			check(&fixtures[i], &pl, "whole", 0, 0);
		}
	}
}

/* Pieces of at most `most` bytes; most 0: random sizes by `seed`. */
static void play_pieces(struct player *pl, const struct talk *t, size_t most, unsigned seed)
{
	for (size_t k = 0; k < t->n; k++) {
		const struct event *ev = &t->ev[k];
		size_t at = 0;

		if (ev->kind == EV_EOF) {
			player__event(pl, ev);
			continue;
		}
		while (at < ev->n) {
			size_t n = most;

			if (!most)
				n = rand_r(&seed) % 4 ? 1 + (size_t)rand_r(&seed) % 7
						      : 1 + (size_t)rand_r(&seed) % 200;
			if (n > ev->n - at)
				n = ev->n - at;
			player__data(pl, ev->server, ev->p + at, n);
			at += n;
		}
	}
}

static void test_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		for (size_t most = 1; most < 9; most++) {
			struct player pl;

			if (fixtures[i].nocut)
				continue;
			player__init(&pl, fixtures[i].ops, 0);
			play_pieces(&pl, &fixtures[i].talk, most, 0);
			check(&fixtures[i], &pl, "pieces of", most, 0);
		}
	}
}

static void test_random_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		for (unsigned seed = 0; seed < 100; seed++) {
			struct player pl;

			if (fixtures[i].nocut)
				continue;
			player__init(&pl, fixtures[i].ops, 1);
			play_pieces(&pl, &fixtures[i].talk, 0, seed);
			check(&fixtures[i], &pl, "random", seed, 0);
		}
	}
}

static void test_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		const struct talk *t = &fixtures[i].talk;

		for (size_t k = 0; k < t->n && !fixtures[i].nocut; k++) {
			for (size_t cut = 1; cut < t->ev[k].n; cut++) {
				struct player pl;

				player__init(&pl, fixtures[i].ops, 0);
				for (size_t j = 0; j < t->n; j++) {
					if (j != k) {
						player__event(&pl, &t->ev[j]);
						continue;
					}
					player__data(&pl, t->ev[j].server, t->ev[j].p, cut);
					player__data(&pl, t->ev[j].server, t->ev[j].p + cut,
						     t->ev[j].n - cut);
				}
				check(&fixtures[i], &pl, "cut", k, cut);
			}
		}
	}
}

/* Nothing that came out may be untrue. Sizes may be short only where it says so. */
static void check_truth(const struct fixture *f, struct player *pl, const char *how, size_t a,
			size_t b)
{
	player__close(pl);
	for (size_t i = 0; i < pl->sink.n; i++) {
		const struct clew_exchange *ex = &pl->sink.rec[i].copy;
		const struct expect *e = NULL;

		if (pl->sink.rec[i].end != REC_DONE)
			continue;
		for (size_t k = 0; k < f->n; k++)
			if (text_is(ex, ex->target, f->expect[k].target))
				e = &f->expect[k];
		if (!e || !text_is(ex, ex->method, e->method) ||
		    (ex->status && ex->status != e->status))
			fail_msg("%s %s %zu/%zu: %.*s %.*s is not %u", f->name, how, a, b,
				 (int)ex->method.len, ex->text + ex->method.off,
				 (int)ex->target.len, ex->text + ex->target.off, ex->status);
		/* A chunked body whose end shows in the last bytes: framing counts as body. */
		if (!ex->incomplete &&
		    (ex->req_body < e->req_body || ex->resp_body < e->resp_body ||
		     (strcmp(how, "budget") &&
		      (ex->req_body != e->req_body || ex->resp_body != e->resp_body))))
			fail_msg("%s %s %zu/%zu: sizes of %s: %lu %lu", f->name, how, a, b,
				 e->target, ex->req_body, ex->resp_body);
	}
	player__fini(pl);
}

/* `len` bytes from position `from` of piece k never arrive. lost 0: only their number does. */
static void play_gap(struct player *pl, const struct talk *t, size_t k, size_t from, size_t len,
		     int lost)
{
	for (size_t j = 0; j < t->n; j++) {
		const struct event *ev = &t->ev[j];
		size_t n = len;

		if (j != k) {
			player__event(pl, ev);
			continue;
		}
		if (n > ev->n - from)
			n = ev->n - from;
		player__data(pl, ev->server, ev->p, from);
		if (lost)
			player__lose(pl, ev->server, n);
		else
			player__skip(pl, ev->server, ev->p + from, n, CLEW_TAIL_MAX);
		player__data(pl, ev->server, ev->p + from + n, ev->n - from - n);
	}
}

static void test_every_gap(void **state)
{
	static const size_t lens[] = {1, 2, 4, 9, 20, 33, 70, 150, 100000};

	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		const struct talk *t = &fixtures[i].talk;

		if (fixtures[i].nogap || fixtures[i].nocut)
			continue;
		for (size_t k = 0; k < t->n; k++) {
			for (size_t from = 0; from < t->ev[k].n; from++) {
				for (size_t l = 0; l < 2 * sizeof(lens) / sizeof(lens[0]); l++) {
					struct player pl;

					player__init(&pl, fixtures[i].ops, (int)(from & 1));
					play_gap(&pl, t, k, from, lens[l / 2], (int)(l & 1));
					check_truth(&fixtures[i], &pl, l & 1 ? "gap" : "budget",
						    k * 10000 + from, lens[l / 2]);
				}
			}
		}
	}
}

/* A budget's end inside a body harms nothing but what it hides. */
static void test_budget(void **state)
{
	static const size_t budgets[] = {200, 4096, 65536};

	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		for (size_t b = 0; b < 3; b++) {
			struct talk *t = &fixtures[i].talk;
			struct player pl;

			if (strncmp(fixtures[i].name, "large", 5) &&
			    strncmp(fixtures[i].name, "keepalive", 9))
				continue;
			player__init(&pl, fixtures[i].ops, 0);
			for (size_t k = 0; k < t->n; k++) {
				if (t->ev[k].n > budgets[b])
					t->ev[k].seen = budgets[b];
				player__event(&pl, &t->ev[k]);
				t->ev[k].seen = t->ev[k].n;
			}
			check(&fixtures[i], &pl, "budget", budgets[b], 0);
		}
	}
}

static void test_garbage(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (size_t i = 0; i < nr_fixtures; i++) {
		const struct talk *t = &fixtures[i].talk;

		for (int round = 0; round < 100; round++) {
			size_t at = (size_t)rand_r(&seed) % (t->n + 1);
			struct player pl;
			uint8_t junk[64];

			player__init(&pl, fixtures[i].ops, round & 1);
			for (size_t k = 0; k < t->n; k++) {
				for (size_t j = 0; j < sizeof(junk); j++)
					junk[j] = (uint8_t)rand_r(&seed);
				if (k == at)
					player__data(&pl, rand_r(&seed) & 1, junk, sizeof(junk));
				player__event(&pl, &t->ev[k]);
			}
			player__close(&pl);
			player__fini(&pl);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	      cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_random_pieces), cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_every_gap),     cmocka_unit_test(test_budget),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
