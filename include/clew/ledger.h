/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h - one account of everything: what was seen equals what came out plus what was
 * dropped, by reason, from the probe to the exporter. Counters are written by one thread each
 * and read by any (relaxed atomics).
 */
#ifndef CLEW_LEDGER_H
#define CLEW_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Why an event was not used. */
enum clew_event_drop {
	CLEW_EDROP_RING_FULL,	    /* kernel: the ring buffer had no room */
	CLEW_EDROP_CONN_TABLE_FULL, /* kernel: no room for the connection */
	CLEW_EDROP_PROBE_MISSED,    /* kernel: a probe was busy on that processor */
	CLEW_EDROP_MALFORMED,	    /* size or version does not fit */
	CLEW_EDROP_UNKNOWN_CONN,    /* a segment without its connection's opening */
	CLEW_EDROP_NOT_HTTP,	    /* bytes that no protocol claims */
	CLEW_EDROP_OUT_OF_MEMORY,   /* agent: allocation failed or a cap was reached */
	CLEW_EDROP_DUPLICATE,	    /* bytes that were seen already */
	CLEW_EDROP_MAX,
};

/* Why an exchange gave no span. */
enum clew_exchange_drop {
	CLEW_XDROP_EXCLUDED_PATH, /* excluded_paths */
	CLEW_XDROP_GAP,		  /* bytes were lost: request or response cannot be told */
	CLEW_XDROP_INVALID,	  /* malformed after a valid start */
	CLEW_XDROP_TABLE_FULL,	  /* too many open exchanges */
	CLEW_XDROP_UNANSWERED,	  /* no response before the connection or the agent ended */
	CLEW_XDROP_NO_MEMORY,
	CLEW_XDROP_MAX,
};

/* Why an exporter did not deliver a span. */
enum clew_span_drop {
	CLEW_SDROP_QUEUE_FULL,
	CLEW_SDROP_REJECTED,	/* the receiver said no (partial success, 4xx) */
	CLEW_SDROP_UNREACHABLE, /* retries exhausted */
	CLEW_SDROP_SHUTDOWN,	/* not delivered within the shutdown deadline */
	CLEW_SDROP_ENCODE,	/* too large or out of memory */
	CLEW_SDROP_WRITE,	/* file: disk full and the like */
	CLEW_SDROP_MAX,
};

#define CLEW_EXPORTERS_MAX 8

struct clew_ledger_exporter {
	char name[48]; /* unique, e.g. "otlp-grpc", "file", "otlp-grpc#2" */
	uint64_t exported;
	uint64_t dropped[CLEW_SDROP_MAX];
};

struct clew_ledger {
	uint64_t events_seen; /* all that the kernel tried to report */
	uint64_t events_used;
	uint64_t events_dropped[CLEW_EDROP_MAX];
	uint64_t exchanges_seen;
	uint64_t exchanges_spans;
	uint64_t exchanges_dropped[CLEW_XDROP_MAX];
	uint64_t spans_built;
	uint64_t spans_sampled_out;
	uint32_t nr_exporters;
	struct clew_ledger_exporter exporter[CLEW_EXPORTERS_MAX];
};

extern const char *const clew_event_drop_names[CLEW_EDROP_MAX];	   /* "ring_full" ... */
extern const char *const clew_exchange_drop_names[CLEW_XDROP_MAX]; /* "excluded_path" ... */
extern const char *const clew_span_drop_names[CLEW_SDROP_MAX];	   /* "queue_full" ... */

static inline void clew_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* True when every `seen` equals the sum of what follows. Call when all stages have drained. */
bool clew_ledger__balanced(const struct clew_ledger *ledger);

/* The table printed at exit; its last line ends with "balanced" or "NOT BALANCED". */
void clew_ledger__print(const struct clew_ledger *ledger, FILE *out);

/* The JSON of the command-line contract (docs/ledger.md). 0 or -errno. */
int clew_ledger__write_json(const struct clew_ledger *ledger, const char *path);

#endif
