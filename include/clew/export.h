/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.h - the export stage: spans in, delivered or accounted for out.
 *
 * pipeline -> clew_export__spans() -> one bounded queue and one thread per exporter (the
 * processor: batch or simple) -> clew_exporter_ops.send(). One failing exporter harms no other.
 */
#ifndef CLEW_EXPORT_H
#define CLEW_EXPORT_H

#include <stddef.h>
#include <stdint.h>

#include <clew/config.h>
#include <clew/ledger.h>
#include <clew/span.h>

struct clew_export;
struct clew_exporter;

/* One number of clew's own health, exported as an OTLP metric. */
struct clew_metric {
	const char *name; /* "clew.events" ... */
	const char *description;
	const char *unit;   /* UCUM, "{event}" ... */
	const char *key[2]; /* up to two attributes; NULL ends */
	const char *value[2];
	uint64_t v;
	uint8_t is_gauge; /* 0: monotonic cumulative sum */
};

/* How a send() ended. */
struct clew_send_result {
	int err;		 /* 0, or -errno of a failure worth logging */
	uint32_t accepted;	 /* spans delivered */
	uint32_t rejected;	 /* spans refused for good */
	int retry;		 /* 1: nothing was delivered, the same batch may be sent again */
	int drop;		 /* enum clew_span_drop of the spans that are neither of both */
	uint32_t retry_after_ms; /* the receiver's wish, 0: none */
	char message[160];	 /* for the log: what, on what, why */
};

/*
 * An exporter. `send` runs on the exporter's own thread and may block up to its timeout;
 * `spans` are borrowed until it returns. `metrics` may be NULL when a receiver takes none.
 */
struct clew_exporter_ops {
	const char *name;
	int (*open)(const struct clew_export_config *cfg, void **ret_state, char *errbuf, size_t n);
	void (*send)(void *state, struct clew_span *const *spans, size_t n,
		     struct clew_send_result *ret);
	void (*metrics)(void *state, const struct clew_metric *m, size_t n,
			const struct clew_resource *res, uint64_t start_ns, uint64_t now_ns);
	/* From another thread: make a running send() or metrics(), and all later ones, return
	 * soon. May be NULL. */
	void (*cancel)(void *state);
	void (*close)(void *state); /* NULL is fine */
};

/*
 * clew_export__new - open every configured exporter and start its thread. On failure returns
 * -errno and writes one line into errbuf that says which exporter, why, and what to do.
 * Config and ledger are borrowed for the life of the object.
 */
int clew_export__new(const struct clew_config *cfg, struct clew_ledger *ledger,
		     struct clew_export **ret, char *errbuf, size_t n);

/*
 * Hand over `n` spans to every exporter. Takes one reference of each; never blocks. An exporter
 * whose queue is full drops the new ones and counts them, as OpenTelemetry's batch processor
 * does: what waits is older and closer to being sent.
 */
void clew_export__spans(struct clew_export *ex, struct clew_span **spans, size_t n);

/* Send the metrics to every exporter that takes metrics, on its own thread. Copied. */
void clew_export__metrics(struct clew_export *ex, const struct clew_metric *m, size_t n);

/* Flush within deadline_ms, stop the threads, account for what is left. */
void clew_export__free(struct clew_export *ex, uint32_t deadline_ms);

#endif
