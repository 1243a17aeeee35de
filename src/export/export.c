/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fan-out: every configured exporter gets every span, each through its own queue and thread
 * (processor.c), so that one that fails or stalls harms no other. This file holds the list, the
 * table of kinds, the names in the ledger, and what metrics say about clew itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "export/processor.h"

static const struct clew_exporter_ops *const kinds[] = {
	[CLEW_EXPORT_FILE] = &clew_exporter_file,
	[CLEW_EXPORT_OTLP_GRPC] = &clew_exporter_grpc,
	[CLEW_EXPORT_OTLP_HTTP] = &clew_exporter_http,
	[CLEW_EXPORT_OTLP_JSON] = &clew_exporter_http_json,
	[CLEW_EXPORT_CONSOLE] = &clew_exporter_console,
};

struct clew_export {
	struct clew_resource *self;
	uint32_t nr;
	struct clew_exporter *x[CLEW_EXPORTERS_MAX];
};

static struct clew_resource *self_resource(void)
{
	char host[65] = "localhost", text[512];
	int n;

	if (gethostname(host, sizeof(host) - 1))
		host[0] = 0;
	/* %c with 0 writes the NUL that ends a key or value */
	n = snprintf(text, sizeof(text),
		     "service.name%cclew%cservice.version%c%s%cservice.instance.id%c%s-%d%c"
		     "host.name%c%s%cprocess.pid%c%d%ctelemetry.sdk.name%cclew%c"
		     "telemetry.sdk.language%cc%ctelemetry.sdk.version%c%s%c",
		     0, 0, 0, CLEW_VERSION, 0, 0, host, (int)getpid(), 0, 0, host, 0, 0,
		     (int)getpid(), 0, 0, 0, 0, 0, 0, CLEW_VERSION, 0);
	return clew_resource__new((uint32_t)getpid(), text, (size_t)n);
}

/* "file", and "file#2" when there is a "file" already */
static void name_exporter(struct clew_ledger *ledger, uint32_t e, const char *kind)
{
	struct clew_ledger_exporter *acct = &ledger->exporter[e];
	unsigned same = 1;
	size_t n = strlen(kind);

	for (uint32_t i = 0; i < e; i++)
		if (!strncmp(ledger->exporter[i].name, kind, n) &&
		    (!ledger->exporter[i].name[n] || ledger->exporter[i].name[n] == '#'))
			same++;
	memset(acct, 0, sizeof(*acct));
	if (same == 1)
		snprintf(acct->name, sizeof(acct->name), "%s", kind);
	else
		snprintf(acct->name, sizeof(acct->name), "%s#%u", kind, same);
}

static int add_exporter(struct clew_export *ex, const struct clew_export_config *cfg,
			struct clew_ledger *ledger, char *errbuf, size_t n)
{
	const struct clew_exporter_ops *ops = NULL;
	struct clew_ledger_exporter *acct = &ledger->exporter[ex->nr];
	char why[256] = "";
	int err;

	if ((size_t)cfg->kind < sizeof(kinds) / sizeof(kinds[0]))
		ops = kinds[cfg->kind];
	if (!ops) {
		snprintf(errbuf, n, "exporter of unknown kind %d", (int)cfg->kind);
		return -EINVAL;
	}
	name_exporter(ledger, ex->nr, ops->name);
	err = clew_exporter__new(cfg, ops, acct, ex->self, &ex->x[ex->nr], why, sizeof(why));
	if (err) {
		snprintf(errbuf, n, "exporter %s: %s", acct->name, why);
		return err;
	}
	ex->nr++;
	__atomic_store_n(&ledger->nr_exporters, ex->nr, __ATOMIC_RELEASE);
	return 0;
}

int clew_export__new(const struct clew_config *cfg, struct clew_ledger *ledger,
		     struct clew_export **ret, char *errbuf, size_t n)
{
	struct clew_export *ex;
	int err = 0;

	if (cfg->nr_exporters > CLEW_EXPORTERS_MAX) {
		snprintf(errbuf, n, "%u exporters are configured, at most %d are possible",
			 cfg->nr_exporters, CLEW_EXPORTERS_MAX);
		return -EINVAL;
	}
	ex = calloc(1, sizeof(*ex));
	if (ex)
		ex->self = self_resource();
	if (!ex || !ex->self) {
		snprintf(errbuf, n, "out of memory");
		free(ex);
		return -ENOMEM;
	}
	ledger->nr_exporters = 0;
	for (uint32_t e = 0; e < cfg->nr_exporters && !err; e++)
		err = add_exporter(ex, &cfg->exporters[e], ledger, errbuf, n);
	if (err) {
		clew_export__free(ex, 0);
		return err;
	}
	*ret = ex;
	return 0;
}

void clew_export__spans(struct clew_export *ex, struct clew_span **spans, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!ex->nr)
			clew_span__put(spans[i]);
		else if (ex->nr > 1)
			__atomic_fetch_add(&spans[i]->refs, (int)ex->nr - 1, __ATOMIC_RELAXED);
	}
	for (uint32_t e = 0; e < ex->nr; e++)
		clew_exporter__spans(ex->x[e], spans, n);
}

void clew_export__free(struct clew_export *ex, uint32_t deadline_ms)
{
	uint64_t until = clew_export__now_ms() + deadline_ms;

	if (!ex)
		return;
	/* all of them drain at the same time, within one deadline */
	for (uint32_t e = 0; e < ex->nr; e++)
		clew_exporter__stop(ex->x[e], until);
	for (uint32_t e = 0; e < ex->nr; e++)
		clew_exporter__free(ex->x[e]);
	clew_resource__put(ex->self);
	free(ex);
}

/* ---- metrics ------------------------------------------------------------------------------ */

static size_t text_len(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

static const char *text_copy(char **at, const char *s)
{
	const char *copy = *at;

	if (!s)
		return NULL;
	memcpy(*at, s, strlen(s) + 1);
	*at += strlen(s) + 1;
	return copy;
}

struct clew_metric_set *clew_metric_set__new(const struct clew_metric *m, size_t n, uint64_t now_ns)
{
	struct clew_metric_set *set;
	size_t text = 0;
	char *at;

	for (size_t i = 0; i < n; i++)
		text += text_len(m[i].name) + text_len(m[i].description) + text_len(m[i].unit) +
			text_len(m[i].key[0]) + text_len(m[i].key[1]) + text_len(m[i].value[0]) +
			text_len(m[i].value[1]);
	set = malloc(sizeof(*set) + n * sizeof(*m) + text);
	if (!set)
		return NULL;
	set->refs = 1;
	set->now_ns = now_ns;
	set->n = n;
	at = (char *)&set->m[n];
	for (size_t i = 0; i < n; i++) {
		set->m[i] = m[i];
		set->m[i].name = text_copy(&at, m[i].name);
		set->m[i].description = text_copy(&at, m[i].description);
		set->m[i].unit = text_copy(&at, m[i].unit);
		for (int k = 0; k < 2; k++) {
			set->m[i].key[k] = text_copy(&at, m[i].key[k]);
			set->m[i].value[k] = text_copy(&at, m[i].value[k]);
		}
	}
	return set;
}

struct clew_metric_set *clew_metric_set__get(struct clew_metric_set *set)
{
	__atomic_fetch_add(&set->refs, 1, __ATOMIC_RELAXED);
	return set;
}

void clew_metric_set__put(struct clew_metric_set *set)
{
	if (!set || __atomic_sub_fetch(&set->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free(set);
}

void clew_export__metrics(struct clew_export *ex, const struct clew_metric *m, size_t n)
{
	struct clew_metric_set *set;
	struct timespec ts;

	if (!n || !ex->nr)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	set = clew_metric_set__new(m, n, (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec);
	if (!set)
		return; /* the next ones are cumulative as well */
	for (uint32_t e = 0; e < ex->nr; e++)
		clew_exporter__metrics(ex->x[e], clew_metric_set__get(set));
	clew_metric_set__put(set);
}
