/* SPDX-License-Identifier: Apache-2.0 */
/* Events as the kernel side would report them, for tests of the stages. */
#ifndef CLEW_TEST_EVENTS_H
#define CLEW_TEST_EVENTS_H

#include <stdlib.h>
#include <string.h>

#include <clew/event.h>

#define EVENTS_TS 1000000000ULL

static inline struct clew_event event__head(uint8_t type, size_t size, uint32_t pid, uint64_t ts)
{
	return (struct clew_event){
		.version = CLEW_EVENT_VERSION,
		.type = type,
		.size = (uint16_t)size,
		.pid = pid,
		.tid = pid,
		.ts = ts,
	};
}

static inline struct clew_conn_open event__open(uint64_t id, uint32_t pid, uint8_t role,
						uint64_t ts)
{
	struct clew_conn_open ev;

	memset(&ev, 0, sizeof(ev));
	ev.h = event__head(CLEW_EV_CONN_OPEN, sizeof(ev), pid, ts);
	ev.conn_id = id;
	ev.sk = 0x1000 + id;
	ev.netns = 1;
	ev.family = 2;
	ev.role = role;
	ev.from_start = 1;
	ev.local_port = role == CLEW_ROLE_SERVER ? 8080 : 40000;
	ev.remote_port = role == CLEW_ROLE_SERVER ? 40000 : 8080;
	ev.local_addr[0] = ev.remote_addr[0] = 127;
	ev.local_addr[3] = ev.remote_addr[3] = 1;
	return ev;
}

/* `cap` of `len` bytes; freed by the caller. No byte more than its size is there. */
static inline struct clew_segment *event__segment(uint64_t id, uint32_t pid, uint8_t dir,
						  uint32_t seq, const void *p, size_t cap,
						  size_t len, uint64_t ts)
{
	struct clew_segment *seg = malloc(sizeof(*seg) + cap);

	memset(seg, 0, sizeof(*seg));
	seg->h = event__head(CLEW_EV_SEGMENT, sizeof(*seg) + cap, pid, ts);
	seg->conn_id = id;
	seg->seq = seq;
	seg->len = (uint32_t)len;
	seg->cap = (uint16_t)cap;
	seg->dir = dir;
	seg->ctx_kind = CLEW_CTX_THREAD;
	if (cap)
		memcpy(seg->data, p, cap);
	return seg;
}

static inline struct clew_conn_close event__close(uint64_t id, uint32_t pid, uint32_t reason,
						  uint64_t ts)
{
	struct clew_conn_close ev;

	memset(&ev, 0, sizeof(ev));
	ev.h = event__head(CLEW_EV_CONN_CLOSE, sizeof(ev), pid, ts);
	ev.conn_id = id;
	ev.reason = reason;
	return ev;
}

static inline struct clew_proc_event event__proc(uint8_t type, uint32_t pid, uint32_t other,
						 uint64_t ts)
{
	struct clew_proc_event ev;

	memset(&ev, 0, sizeof(ev));
	ev.h = event__head(type, sizeof(ev), pid, ts);
	ev.other = other;
	return ev;
}

/* What discovery says of a process; `text` is key\0value\0... Freed by the caller. */
static inline struct clew_proc_info *event__info(uint32_t pid, uint16_t runtime, const char *text,
						 size_t len, uint64_t ts)
{
	struct clew_proc_info *ev = malloc(sizeof(*ev) + len);

	memset(ev, 0, sizeof(*ev));
	ev->h = event__head(CLEW_EV_PROC_INFO, sizeof(*ev) + len, pid, ts);
	ev->runtime = runtime;
	ev->text_len = (uint16_t)len;
	memcpy(ev->text, text, len);
	return ev;
}

#endif
