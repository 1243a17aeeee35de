/* SPDX-License-Identifier: Apache-2.0 */
/*
 * processor.h - one exporter with its queue and its thread; export.c holds several of them.
 */
#ifndef CLEW_EXPORT_PROCESSOR_H
#define CLEW_EXPORT_PROCESSOR_H

#include <clew/export.h>

extern const struct clew_exporter_ops clew_exporter_grpc;
extern const struct clew_exporter_ops clew_exporter_http;
extern const struct clew_exporter_ops clew_exporter_http_json;
extern const struct clew_exporter_ops clew_exporter_file;
extern const struct clew_exporter_ops clew_exporter_console;

/* Metrics on their way to several exporters: a deep copy, reference counted. */
struct clew_metric_set {
	int refs; /* atomic */
	uint64_t now_ns;
	size_t n;
	struct clew_metric m[];
};

struct clew_metric_set *clew_metric_set__new(const struct clew_metric *m, size_t n,
					     uint64_t now_ns);
struct clew_metric_set *clew_metric_set__get(struct clew_metric_set *set);
void clew_metric_set__put(struct clew_metric_set *set); /* NULL is fine */

/*
 * Open the exporter and start its thread. `account`, `cfg` and `self` (the resource of metrics)
 * are borrowed. On failure -errno and a line in errbuf.
 */
int clew_exporter__new(const struct clew_export_config *cfg, const struct clew_exporter_ops *ops,
		       struct clew_ledger_exporter *account, const struct clew_resource *self,
		       struct clew_exporter **ret, char *errbuf, size_t n);
/* Takes a reference of each span. Never blocks. */
void clew_exporter__spans(struct clew_exporter *x, struct clew_span **spans, size_t n);
/* Takes a reference. A set that still waits is replaced: the numbers are cumulative. */
void clew_exporter__metrics(struct clew_exporter *x, struct clew_metric_set *set);
/* Ask the thread to send what it has and to end by then (monotonic ms). */
void clew_exporter__stop(struct clew_exporter *x, uint64_t deadline_ms);
/* After stop: wait for the deadline at most, account for what is left, free. NULL is fine. */
void clew_exporter__free(struct clew_exporter *x);

uint64_t clew_export__now_ms(void); /* monotonic */

#endif
