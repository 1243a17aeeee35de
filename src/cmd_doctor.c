/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_doctor.c - `clew doctor`: can clew run here, and why is this process not traced.
 *
 * The flags are those of `clew run`, read by the same loader: put "doctor" in the place of "run"
 * and the answers hold for that command line, its file and its environment. It looks and tries;
 * nothing that it does outlives it, and no process is attached to. Without root it says what is
 * missing. Names of files and processes are others' text: control characters never reach the
 * terminal.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <clew/config.h>

#include "base/json.h"
#include "base/log.h"
#include "commands.h"
#include "probe/features.h"
#include "probe/verdict.h"

#define JSON_MAX     (64u << 20)
#define VERDICTS_MAX 65536
#define NOTES_MAX    64

static const char usage[] =
	"Usage: clew doctor [--json] [selectors] [any flag of clew run]\n"
	"Say what this kernel and these rights allow, and for each process that the selectors\n"
	"name whether it would be traced, how far, and why not. Changes nothing and attaches to "
	"no\n"
	"process; works without root and then says what is missing.\n"
	"\n"
	"  --pid N, --port N, --exe GLOB, --cgroup PATH, --container ID, --all\n"
	"                        which processes to judge; repeatable, as for clew run\n"
	"  --exclude-exe GLOB    as for clew run\n"
	"  --capture-layer LAYER fentry, kprobe or rawtp: this one must work\n"
	"  --config FILE         judge with the selection and the sizes of this file\n"
	"  --json                print JSON\n"
	"  -h, --help            this text\n"
	"\n"
	"Exit codes: 0 clew can run here, 1 it cannot (or the doctor failed), 2 wrong use.\n";

struct doctor {
	struct clew_config *cfg;
	struct clew_features *features;
	struct clew_runtime_cache *cache;
	struct clew_select_match *matches;
	uint32_t nr_matches, room;
	char *notes[NOTES_MAX];
	uint32_t nr_notes;
	bool can_run;
	char why[CLEW_FEATURE_TEXT + 64];
};

/* ---- which processes ----------------------------------------------------------------------- */

static int doctor__add(void *arg, const struct clew_select_match *match)
{
	struct doctor *d = arg;

	for (uint32_t i = 0; match->why == CLEW_SELECT_PID && i < d->nr_matches; i++)
		if (d->matches[i].pid == match->pid)
			return 0;
	if (d->nr_matches == VERDICTS_MAX)
		return 1;
	if (d->nr_matches == d->room) {
		uint32_t room = d->room ? d->room * 2 : 32;
		struct clew_select_match *grown = realloc(d->matches, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		d->matches = grown;
		d->room = room;
	}
	d->matches[d->nr_matches++] = *match;
	return 0;
}

static void doctor__note(void *arg, bool fatal, const char *text)
{
	struct doctor *d = arg;

	(void)fatal;
	if (d->nr_notes < NOTES_MAX && (d->notes[d->nr_notes] = strdup(text)))
		d->nr_notes++;
}

static bool doctor__selects(const struct clew_selectors *s)
{
	return s->all || s->nr_pids || s->nr_ports || s->exes.n || s->cgroups.n || s->containers.n;
}

/* Every pid that was named, also one that cannot be traced, then what the others match. */
static int doctor__select(struct doctor *d)
{
	struct clew_selectors rest = d->cfg->select; /* shallow: read only */
	int err = 0;

	if (!doctor__selects(&d->cfg->select))
		return 0;
	for (uint32_t i = 0; !err && i < rest.nr_pids; i++) {
		struct clew_select_match m = {rest.pids[i], CLEW_SELECT_PID, 0};

		err = doctor__add(d, &m);
	}
	if (!err)
		err = clew_select__scan(&d->cfg->select, doctor__add, d);
	rest.nr_pids = 0; /* each has its verdict */
	clew_select__check(&rest, doctor__note, d);
	if (err >= 0 && !d->nr_matches)
		doctor__note(d, false, "no running process matches the selectors");
	if (!d->cfg->enabled)
		doctor__note(d, false, "enabled is false: clew run would trace nothing");
	return err < 0 ? err : 0;
}

/* ---- text ---------------------------------------------------------------------------------- */

static void doctor__puts(const char *s)
{
	for (; *s; s++)
		putchar(iscntrl((unsigned char)*s) ? '?' : *s);
}

static const char *doctor__answer(enum clew_answer answer)
{
	return answer == CLEW_ANSWER_YES ? "yes" : answer == CLEW_ANSWER_NO ? "no" : "unknown";
}

static void doctor__print_features(struct doctor *d)
{
	static const char *const heads[CLEW_NEED_MAX] = {
		[CLEW_NEED_MUST] = "Needed",
		[CLEW_NEED_ONE_OF] = "One of these is needed, the first that works is used",
		[CLEW_NEED_BEHIND] = "What stands behind these answers",
		[CLEW_NEED_USEFUL] = "Useful",
	};
	static const enum clew_feature_need order[] = {CLEW_NEED_MUST, CLEW_NEED_ONE_OF,
						       CLEW_NEED_USEFUL, CLEW_NEED_BEHIND};

	for (size_t k = 0; k < CLEW_NEED_MAX; k++) {
		printf("\n%s\n", heads[order[k]]);
		for (int i = 0; i < CLEW_FEATURE_MAX; i++) {
			enum clew_answer answer;
			const char *text;

			if (clew_feature__need(i) != order[k])
				continue;
			answer = clew_features__ask(d->features, i, &text);
			printf("  %-22s  %-7s  ", clew_feature__name(i), doctor__answer(answer));
			doctor__puts(text);
			putchar('\n');
		}
	}
}

static void doctor__print_field(const char *name, const char *value)
{
	printf("  %-12s ", name);
	doctor__puts(value);
	putchar('\n');
}

static void doctor__print_sockets(const struct clew_verdict *v)
{
	if (!v->sockets_known) {
		doctor__print_field("sockets", v->sockets_why);
		return;
	}
	printf("  %-12s ", "sockets");
	if (v->nr_ports)
		printf("listens on");
	for (uint32_t i = 0; i < v->nr_ports && i < CLEW_VERDICT_PORTS; i++)
		printf(" %u", v->ports[i]);
	if (v->nr_ports > CLEW_VERDICT_PORTS)
		printf(" and more");
	printf("%s%u open TCP connections", v->nr_ports ? ", " : "no listening port, ",
	       v->tcp_open);
	if (v->unix_listen || v->unix_open)
		printf(", %u listening and %u open Unix sockets", v->unix_listen, v->unix_open);
	if (!v->nr_ports && !v->tcp_open && !v->unix_listen && !v->unix_open)
		printf(": nothing to trace yet");
	putchar('\n');
}

static void doctor__print_sites(const struct clew_runtime *rt)
{
	if (!rt->nr_sites)
		doctor__print_field("uprobes", "none");
	for (uint32_t i = 0; i < rt->nr_sites && i < CLEW_SITES_MAX; i++) {
		const struct clew_uprobe_site *s = &rt->sites[i];

		printf("  %-12s %s at ", i ? "" : "uprobes", clew_site__info(s->kind)->name);
		doctor__puts(s->path);
		printf("+%#llx\n  %-12s   put in %s; instruction %s (%s)\n",
		       (unsigned long long)s->off, "",
		       clew_set__info(clew_site__info(s->kind)->set)->when,
		       clew_verdict__insn_name(s->insn), clew_verdict__insn_cost(s->insn));
	}
}

static void doctor__print_verdict(const struct clew_verdict *v)
{
	char line[192];

	printf("\npid %u%s", v->pid, v->comm[0] ? " " : "");
	doctor__puts(v->comm);
	printf("\n  %-12s %s: ", "traced", v->traced ? "yes" : "no");
	doctor__puts(v->reason);
	putchar('\n');
	if (v->examined) {
		snprintf(line, sizeof(line), "%s%s%s", v->rt.name, v->rt.version[0] ? " " : "",
			 v->rt.version);
		doctor__print_field("program", v->rt.exe);
		doctor__print_field("runtime", line);
		doctor__print_field("unknown", v->rt.why[0] ? v->rt.why : "nothing");
		if (v->rt.pending)
			doctor__print_field("", "something may still be loaded: clew looks again "
						"each second");
		doctor__print_sites(&v->rt);
	}
	if (v->service[0])
		doctor__print_field("service", v->service);
	if (v->examined || v->sockets_known)
		doctor__print_sockets(v);
	if (v->container[0])
		doctor__print_field("container", v->container);
	if (v->other_pidns) {
		snprintf(line, sizeof(line), "another one, in which it is pid %u", v->nspid);
		doctor__print_field("pid namespace", line);
	}
}

static int doctor__print(struct doctor *d, const struct utsname *u)
{
	struct clew_verdict v;

	printf("clew %s on %s %s, %s\n", CLEW_VERSION, u->sysname, u->release, u->machine);
	doctor__print_features(d);
	for (uint32_t i = 0; i < d->nr_matches; i++) {
		clew_verdict__judge(d->cache, d->cfg, &d->matches[i], &v);
		doctor__print_verdict(&v);
	}
	if (d->nr_notes)
		putchar('\n');
	for (uint32_t i = 0; i < d->nr_notes; i++) {
		doctor__puts(d->notes[i]);
		putchar('\n');
	}
	if (d->can_run) {
		printf("\nclew can run here, capture layer %s\n",
		       clew_features__layer(d->features));
	} else {
		printf("\nclew cannot run here: ");
		doctor__puts(d->why);
		putchar('\n');
	}
	return ferror(stdout) || fflush(stdout) ? -EIO : 0;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void doctor__json_str(struct clew_json *j, const char *key, const char *value)
{
	clew_json__key(j, key);
	clew_json__cstr(j, value);
}

static void doctor__json_u64(struct clew_json *j, const char *key, uint64_t value)
{
	clew_json__key(j, key);
	clew_json__u64(j, value);
}

static void doctor__json_bool(struct clew_json *j, const char *key, bool value)
{
	clew_json__key(j, key);
	clew_json__bool(j, value);
}

static void doctor__json_features(struct doctor *d, struct clew_json *j)
{
	static const char *const needs[CLEW_NEED_MAX] = {
		[CLEW_NEED_MUST] = "must",
		[CLEW_NEED_ONE_OF] = "one_of",
		[CLEW_NEED_BEHIND] = "behind",
		[CLEW_NEED_USEFUL] = "useful",
	};

	clew_json__key(j, "features");
	clew_json__arr(j);
	for (int i = 0; i < CLEW_FEATURE_MAX; i++) {
		const char *text;
		enum clew_answer answer = clew_features__ask(d->features, i, &text);

		clew_json__obj(j);
		doctor__json_str(j, "name", clew_feature__name(i));
		doctor__json_str(j, "purpose", clew_feature__purpose(i));
		doctor__json_str(j, "need", needs[clew_feature__need(i)]);
		doctor__json_str(j, "answer", doctor__answer(answer));
		doctor__json_str(j, "text", text);
		clew_json__obj_end(j);
	}
	clew_json__arr_end(j);
}

static void doctor__json_runtime(struct clew_json *j, const struct clew_runtime *rt)
{
	doctor__json_str(j, "program", rt->exe);
	doctor__json_str(j, "runtime", rt->name);
	doctor__json_str(j, "version", rt->version);
	doctor__json_str(j, "unknown", rt->why);
	doctor__json_bool(j, "pending", rt->pending);
	clew_json__key(j, "uprobes");
	clew_json__arr(j);
	for (uint32_t i = 0; i < rt->nr_sites && i < CLEW_SITES_MAX; i++) {
		const struct clew_uprobe_site *s = &rt->sites[i];

		clew_json__obj(j);
		doctor__json_str(j, "site", clew_site__info(s->kind)->name);
		doctor__json_str(j, "path", s->path);
		doctor__json_u64(j, "offset", s->off);
		doctor__json_str(j, "when", clew_set__info(clew_site__info(s->kind)->set)->when);
		doctor__json_str(j, "instruction", clew_verdict__insn_name(s->insn));
		doctor__json_str(j, "cost", clew_verdict__insn_cost(s->insn));
		clew_json__obj_end(j);
	}
	clew_json__arr_end(j);
}

static void doctor__json_sockets(struct clew_json *j, const struct clew_verdict *v)
{
	if (!v->sockets_known) {
		if (v->sockets_why[0])
			doctor__json_str(j, "sockets_unknown", v->sockets_why);
		return;
	}
	clew_json__key(j, "listening_ports");
	clew_json__arr(j);
	for (uint32_t i = 0; i < v->nr_ports && i < CLEW_VERDICT_PORTS; i++)
		clew_json__u64(j, v->ports[i]);
	clew_json__arr_end(j);
	doctor__json_u64(j, "open_tcp_connections", v->tcp_open);
	doctor__json_u64(j, "listening_unix_sockets", v->unix_listen);
	doctor__json_u64(j, "open_unix_connections", v->unix_open);
}

static void doctor__json_verdict(struct clew_json *j, const struct clew_verdict *v)
{
	clew_json__obj(j);
	doctor__json_u64(j, "pid", v->pid);
	doctor__json_str(j, "comm", v->comm);
	doctor__json_bool(j, "traced", v->traced);
	doctor__json_str(j, "reason", v->reason);
	if (v->examined)
		doctor__json_runtime(j, &v->rt);
	if (v->service[0])
		doctor__json_str(j, "service_name", v->service);
	doctor__json_sockets(j, v);
	if (v->container[0])
		doctor__json_str(j, "container", v->container);
	doctor__json_bool(j, "other_pid_namespace", v->other_pidns);
	if (v->nspid)
		doctor__json_u64(j, "pid_in_namespace", v->nspid);
	clew_json__obj_end(j);
}

static int doctor__json(struct doctor *d, const struct utsname *u)
{
	const char *layer = clew_features__layer(d->features);
	struct clew_verdict v;
	struct clew_json j;
	int err;

	clew_json__init(&j, JSON_MAX);
	clew_json__obj(&j);
	doctor__json_str(&j, "version", CLEW_VERSION);
	doctor__json_str(&j, "kernel", u->release);
	doctor__json_str(&j, "machine", u->machine);
	doctor__json_bool(&j, "can_run", d->can_run);
	doctor__json_str(&j, "why", d->why);
	doctor__json_str(&j, "layer", layer && d->can_run ? layer : "");
	doctor__json_features(d, &j);
	clew_json__key(&j, "processes");
	clew_json__arr(&j);
	for (uint32_t i = 0; i < d->nr_matches; i++) {
		clew_verdict__judge(d->cache, d->cfg, &d->matches[i], &v);
		doctor__json_verdict(&j, &v);
	}
	clew_json__arr_end(&j);
	clew_json__key(&j, "notes");
	clew_json__arr(&j);
	for (uint32_t i = 0; i < d->nr_notes; i++)
		clew_json__cstr(&j, d->notes[i]);
	clew_json__arr_end(&j);
	clew_json__obj_end(&j);
	err = j.err;
	if (!err &&
	    (fwrite(j.p, 1, j.len, stdout) != j.len || putchar('\n') == EOF || fflush(stdout)))
		err = -EIO;
	clew_json__free(&j);
	return err;
}

/* ---- the command --------------------------------------------------------------------------- */

static int doctor__run(struct doctor *d, bool json)
{
	struct utsname u;
	int err;

	if (uname(&u))
		return -errno;
	clew_log__set_level(d->cfg->log_level);
	for (uint32_t i = 0; i < d->cfg->warnings.n; i++)
		clew_log(CLEW_LOG_WARN, "%s", d->cfg->warnings.v[i]);
	d->features = clew_features__new(d->cfg);
	d->cache = clew_runtime_cache__new();
	if (!d->features || !d->cache)
		return -ENOMEM;
	err = doctor__select(d);
	if (err)
		return err;
	d->can_run = clew_features__can_run(d->features, d->why, sizeof(d->why));
	return json ? doctor__json(d, &u) : doctor__print(d, &u);
}

static void doctor__free(struct doctor *d)
{
	clew_features__free(d->features);
	clew_runtime_cache__free(d->cache);
	clew_config__free(d->cfg);
	for (uint32_t i = 0; i < d->nr_notes; i++)
		free(d->notes[i]);
	free(d->matches);
}

/* Takes --json and --help out of what is left to the loader. `words` has room for all. */
static int doctor__words(int argc, char **argv, char **words, bool *json, bool *help)
{
	int n = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			*json = true;
		else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			*help = true;
		else
			words[n++] = argv[i];
	}
	return n;
}

static int doctor__with_words(int n, char **words, bool json)
{
	struct doctor d;
	char errbuf[1024] = "";
	int err;

	memset(&d, 0, sizeof(d));
	err = clew_config__load(n, words, "doctor", &d.cfg, errbuf, sizeof(errbuf));
	if (err) {
		fprintf(stderr, "clew: %s\n", errbuf);
		return clew_config__exit_code(err);
	}
	if (d.cfg->command) {
		fprintf(stderr, "clew: --: the doctor runs no command; expected selectors\n");
		clew_config__free(d.cfg);
		return 2;
	}
	err = doctor__run(&d, json);
	if (err)
		fprintf(stderr, "clew: doctor: %s\n", strerror(-err));
	err = err || !d.can_run;
	doctor__free(&d);
	return err;
}

int cmd_doctor(int argc, char **argv)
{
	bool json = false, help = false;
	char **words = calloc((size_t)argc + 1, sizeof(*words));
	int n, ret;

	if (!words)
		return 1;
	n = doctor__words(argc, argv, words, &json, &help);
	if (help) {
		fputs(usage, stdout);
		ret = 0;
	} else {
		ret = doctor__with_words(n, words, json);
	}
	free(words);
	return ret;
}
