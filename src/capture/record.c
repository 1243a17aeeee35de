/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - writes the event stream to a file, without the secrets.
 *
 * A head keeps its lines; the values of credential headers, of the query keys that no span shows
 * (redact.c) and a user and password in a target are masked. All of a body is masked
 * but its line ends and the sizes of its chunks (RFC 9112 6 and 7.1), so that a replay finds the
 * same framing. Segments end anywhere, so each direction of a connection is followed byte by byte
 * through its heads and bodies. Where that is not possible (bytes were not captured or were lost,
 * the connection was met late) all is masked until a segment begins with the whole first line of
 * a message. Connections are kept in a small table, which forgets the one that was quiet longest of
 * those that share its place: that masks too much, never too little.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <clew/build.h>
#include <clew/capture.h>

#include "capture/record_int.h"

#define MAGIC	   "clew recording 1       \n" /* 24 bytes */
#define MAGIC_LEN  24
#define SLOTS	   16384
#define WAYS	   4 /* slots that a connection may have */
#define RECORD_MAX 65536

enum where {
	LOST = 0, /* in a body, or anywhere */
	START,	  /* a message is expected */
	HEAD,
	SIZE, /* the line before a chunk */
	DATA, /* `remain` bytes of body */
};

struct slot {
	uint64_t conn_id, used;
	bool http, fastcgi; /* what it was seen to speak */
	struct flow flow[2];
};

struct clew_recorder {
	FILE *file;
	int err;
	uint64_t clock;
	struct slot slots[SLOTS];
	uint64_t buf[RECORD_MAX / 8];
};

static const char *const secret_headers[] = {
	"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token",
};

void record__mask(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\r' && p[i] != '\n')
			p[i] = 'x';
}

/* ---- heads ------------------------------------------------------------------------------- */

bool record__is_name(const struct flow *f, const char *name)
{
	return f->name_n == strlen(name) && !strncasecmp(f->name, name, f->name_n);
}

static bool is_secret(const struct flow *f)
{
	for (size_t i = 0; i < sizeof(secret_headers) / sizeof(secret_headers[0]); i++)
		if (record__is_name(f, secret_headers[i]))
			return true;
	return false;
}

static void begin_line(struct flow *f)
{
	f->colon = false;
	f->name_n = 0;
	f->value_n = 0;
}

static void begin_head(struct flow *f, bool response)
{
	f->where = HEAD;
	f->response = response;
	f->first_line = true;
	f->trailer = f->chunked = f->has_length = f->secret = false;
	f->connect = f->upgraded = false;
	f->part = METHOD;
	f->remain = 0;
	begin_line(f);
}

static void end_head(struct flow *f)
{
	if (f->connect || f->upgraded)
		f->where = LOST; /* what follows is no HTTP, unless it is refused */
	else if (f->trailer || (f->response && f->bodiless))
		f->where = START;
	else if (f->chunked)
		f->where = SIZE;
	else if (f->has_length && f->remain)
		f->where = DATA;
	else if (f->response && !f->has_length)
		f->where = LOST; /* it goes on until the connection ends */
	else
		f->where = START;
	if (f->where != DATA)
		f->remain = 0;
}

/* "HTTP/1.1 204": no body, whatever the headers say (RFC 9112 6.3). */
static bool says_bodiless(const struct flow *f)
{
	const char *status = f->name + 9;

	return f->name_n >= 12 &&
	       (status[0] == '1' || !memcmp(status, "204", 3) || !memcmp(status, "304", 3));
}

static void head_value(struct flow *f, uint8_t c)
{
	if (c == ' ' || c == '\t')
		return;
	if (f->trailer || f->first_line)
		return;
	if (record__is_name(f, "content-length")) {
		f->has_length = true;
		f->remain = c >= '0' && c <= '9' && f->remain < UINT64_MAX / 16
				    ? f->remain * 10 + (c - '0')
				    : UINT64_MAX / 16;
	} else if (record__is_name(f, "transfer-encoding")) {
		if (f->value_n == sizeof(f->value))
			memmove(f->value, f->value + 1, --f->value_n);
		f->value[f->value_n++] = (char)c;
		f->chunked = f->value_n == 7 && !strncasecmp(f->value, "chunked", 7);
	}
}

/* In the authority of a target: is this byte of a user and password, or may it be one? */
static bool of_user(const struct flow *f, const uint8_t *p, size_t n)
{
	if (f->origin || f->slashes != (f->connect ? 0 : 2))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '@')
			return i > 0;
		if (p[i] == '/' || p[i] == '?' || p[i] == ' ' || p[i] == '\n')
			return false;
	}
	return true;
}

void record__keep_name(struct flow *f, uint8_t c)
{
	if (f->name_n < NAME_KEPT)
		f->name[f->name_n++] = (char)c;
}

/* A byte of a request line, with what follows it. */
uint8_t record__request_byte(struct flow *f, const uint8_t *p, size_t n)
{
	uint8_t c = *p;

	if (c == ' ' && f->part != VERSION) {
		if (f->part == METHOD)
			f->connect = record__is_name(f, "CONNECT");
		f->part = f->part == METHOD ? TARGET : VERSION;
		f->name_n = f->slashes = 0;
		f->secret = false;
	} else if (f->part == METHOD) {
		record__keep_name(f, c);
	} else if (f->part == TARGET) {
		if (!f->name_n)
			f->origin = c == '/';
		f->name_n = 1;
		if (c == '?') {
			f->part = KEY;
			f->name_n = 0;
		} else if (of_user(f, p, n)) {
			return 'x';
		}
		f->slashes += c == '/' && f->slashes < 3;
	} else if (f->part == KEY && c == '=') {
		f->secret = clew_redact__is_secret(f->name, f->name_n);
		f->part = VALUE;
	} else if (c == '&' && f->part != VERSION) {
		f->part = KEY;
		f->name_n = 0;
		f->secret = false;
	} else if (f->part == KEY) {
		record__keep_name(f, c);
	} else if (f->part == VALUE && f->secret) {
		return 'x';
	}
	return c;
}

static uint8_t head_byte(struct flow *f, const uint8_t *p, size_t n)
{
	uint8_t c = *p;

	if (c == '\r')
		return c;
	if (c == '\n') {
		if (!f->name_n && !f->colon && !(f->first_line && !f->response))
			end_head(f);
		if (f->first_line) {
			f->bodiless = f->response && says_bodiless(f);
			f->upgraded = f->bodiless && !memcmp(f->name + 9, "101", 3);
			f->secret = false;
		}
		f->first_line = false;
		begin_line(f);
		return c;
	}
	if (f->first_line && !f->response)
		return record__request_byte(f, p, n);
	if (!f->colon && !f->name_n && (c == ' ' || c == '\t')) {
		f->colon = true; /* a folded line goes on with the value before (RFC 9112 5.2) */
		return c;
	}
	if (f->colon) {
		head_value(f, c);
		return f->secret ? 'x' : c;
	}
	if (c == ':') {
		f->colon = true;
		f->secret = !f->first_line && is_secret(f);
		if (record__is_name(f, "content-length"))
			f->remain = 0;
	} else if (f->first_line || (c != ' ' && c != '\t')) {
		record__keep_name(f, c);
	}
	return c;
}

/* ---- where a message begins -------------------------------------------------------------- */

/*
 * Returns 1 for a request, 2 for a response, 0 for neither. A line that is not complete will do
 * only where a message is `expected`.
 */
static int starts(const uint8_t *p, size_t n, bool expected)
{
	const uint8_t *end = memchr(p, '\n', n);
	size_t i = 0, line = end ? (size_t)(end - p) : n;

	if (!memcmp(p, "HTTP/", line < 5 ? line : 5))
		return (end && line >= 12) || (!end && expected) ? 2 : 0;
	while (i < line && i < 20 && ((p[i] >= 'A' && p[i] <= 'Z') || p[i] == '-'))
		i++;
	if (!end)
		return expected && i && (i == line || (i >= 3 && p[i] == ' '));
	return i >= 3 && i < line && p[i] == ' ' && memmem(p + i, line - i, " HTTP/1.", 8);
}

/* The end of a chunked body: it says nothing, and a parser that lost its place needs it. */
static size_t last_chunk(const uint8_t *p, size_t n)
{
	return n >= 5 && !memcmp(p + n - 5, "0\r\n\r\n", 5) && (n == 5 || p[n - 6] == '\n') ? 5 : 0;
}

static size_t start_bytes(struct flow *f, uint8_t *p, size_t n)
{
	int is;

	if (*p == '\r' || *p == '\n')
		return 1;
	is = starts(p, n, true);
	if (is == 2 || (is == 1 && !f->response))
		begin_head(f, is == 2);
	else
		f->where = LOST;
	return 0;
}

static size_t size_byte(struct flow *f, uint8_t *p)
{
	uint8_t c = *p, digit = 0xff;

	if (c >= '0' && c <= '9')
		digit = c - '0';
	else if ((c | 32) >= 'a' && (c | 32) <= 'f')
		digit = (c | 32) - 'a' + 10;
	if (c == '\n') {
		f->where = f->remain ? DATA : HEAD;
		f->trailer = true;
		f->remain += 2;
		begin_line(f);
		f->secret = false;
	} else if (f->colon) { /* an extension */
		record__mask(p, 1);
	} else if (c == ';' || c == ' ' || c == '\t') {
		f->colon = true;
	} else if (digit < 16 && f->remain < UINT64_MAX / 32) {
		f->remain = f->remain * 16 + digit;
	} else if (c != '\r') {
		f->where = LOST;
		return 0;
	}
	return 1;
}

static size_t data_bytes(struct flow *f, uint8_t *p, size_t n)
{
	if (n > f->remain)
		n = f->remain;
	record__mask(p, n);
	f->remain -= n;
	if (!f->remain) {
		f->where = f->chunked ? SIZE : START;
		f->colon = false;
	}
	return n;
}

static void follow(struct flow *f, uint8_t *p, size_t n)
{
	size_t at = 0;

	if (n && f->where != HEAD && f->where != START && starts(p, n, false))
		begin_head(f, starts(p, n, false) == 2);
	while (at < n) {
		switch (f->where) {
		case START:
			at += start_bytes(f, p + at, n - at);
			break;
		case HEAD:
			p[at] = head_byte(f, p + at, n - at);
			at++;
			break;
		case SIZE:
			at += size_byte(f, p + at);
			break;
		case DATA:
			at += data_bytes(f, p + at, n - at);
			break;
		default:
			record__mask(p + at, n - at - last_chunk(p + at, n - at));
			at = n;
			break;
		}
	}
}

/* The slot of a connection, taken from another one if need be. */
static struct slot *slot_of(struct clew_recorder *rec, uint64_t conn_id)
{
	struct slot *set = &rec->slots[((conn_id * 0x9e3779b97f4a7c15ULL) >> 50) & ~(WAYS - 1UL)];
	struct slot *s = set;

	for (int i = 0; i < WAYS; i++) {
		if (set[i].conn_id == conn_id) {
			s = &set[i];
			break;
		}
		if (set[i].used < s->used)
			s = &set[i];
	}
	if (s->conn_id != conn_id) {
		memset(s, 0, sizeof(*s));
		s->conn_id = conn_id;
	}
	s->used = ++rec->clock;
	return s;
}

static void opened(struct clew_recorder *rec, const struct clew_conn_open *ev)
{
	struct slot *s = slot_of(rec, ev->conn_id);

	s->http = s->fastcgi = false;
	memset(s->flow, 0, sizeof(s->flow));
	s->flow[0].where = s->flow[1].where = ev->from_start ? START : LOST;
}

static void redact(struct clew_recorder *rec, struct clew_segment *seg)
{
	struct slot *s = slot_of(rec, seg->conn_id);
	struct flow *f = &s->flow[seg->dir & 1];
	uint32_t unseen = seg->len > seg->cap ? seg->len - seg->cap : 0;
	bool lost = f->known && f->next != seg->seq && seg->len;

	if (lost)
		f->where = LOST;
	if (seg->len) {
		f->known = true;
		f->next = seg->seq + seg->len;
	}
	if (!s->fastcgi && !s->http)
		s->fastcgi = record_fcgi__begins(seg->data, seg->cap);
	if (s->fastcgi) {
		if (lost)
			record_fcgi__lost(f);
		record_fcgi__follow(f, &s->flow[!(seg->dir & 1)], seg->data, seg->cap);
		if (unseen || seg->tail_len)
			record_fcgi__unseen(f, unseen, seg->tail, seg->tail_len);
		return;
	}
	follow(f, seg->data, seg->cap);
	s->http |= f->where != LOST && f->where != START;
	if (f->upgraded && f->where != HEAD) { /* the connection left HTTP, both ways */
		s->flow[0].where = s->flow[1].where = LOST;
		f->upgraded = false;
	}
	record__mask(seg->tail, seg->tail_len - last_chunk(seg->tail, seg->tail_len));
	if (unseen && f->where == DATA && f->remain > unseen)
		f->remain -= unseen;
	else if (unseen)
		f->where = f->where == DATA && f->remain == unseen && !f->chunked ? START : LOST;
}

static void put(struct clew_recorder *rec, const void *p, size_t n)
{
	if (!rec->err && fwrite(p, 1, n, rec->file) != n)
		rec->err = errno ? -errno : -EIO;
}

void clew_recorder__write(struct clew_recorder *rec, const struct clew_event *ev)
{
	size_t padded = (ev->size + 7UL) & ~7UL;

	if (rec->err || ev->size < sizeof(*ev) || padded > sizeof(rec->buf))
		return;
	memcpy(rec->buf, ev, ev->size);
	memset((char *)rec->buf + ev->size, 0, padded - ev->size);
	if (ev->type == CLEW_EV_SEGMENT && ev->size >= sizeof(struct clew_segment)) {
		struct clew_segment *seg = (void *)rec->buf;

		if (ev->size >= sizeof(*seg) + seg->cap && seg->tail_len <= CLEW_TAIL_MAX)
			redact(rec, seg);
	} else if (ev->type == CLEW_EV_CONN_OPEN && ev->size >= sizeof(struct clew_conn_open)) {
		opened(rec, (const void *)ev);
	}
	put(rec, rec->buf, padded);
}

int clew_recorder__new(const char *path, struct clew_recorder **ret, char *errbuf, size_t n)
{
	struct clew_recorder *rec = calloc(1, sizeof(*rec));
	int err;

	if (!rec)
		return -ENOMEM;
	rec->file = fopen(path, "wbe");
	if (!rec->file) {
		err = -errno;
		snprintf(errbuf, n, "cannot write the recording %s: %s", path, strerror(-err));
		free(rec);
		return err;
	}
	put(rec, MAGIC, MAGIC_LEN);
	*ret = rec;
	return 0;
}

int clew_recorder__free(struct clew_recorder *rec)
{
	int err;

	if (!rec)
		return 0;
	err = rec->err;
	if (fclose(rec->file) && !err)
		err = -errno;
	free(rec);
	return err;
}

/* The next record; 1, 0 at the end of the file, or -errno. */
static int read_record(FILE *file, struct clew_event *ev, size_t *ret_size)
{
	size_t n = fread(ev, 1, sizeof(*ev), file), rest;

	if (ferror(file))
		return -EIO;
	if (!n)
		return 0;
	if (n != sizeof(*ev) || ev->size < sizeof(*ev))
		return -EINVAL;
	rest = ((ev->size + 7UL) & ~7UL) - sizeof(*ev);
	if (fread(ev + 1, 1, rest, file) != rest)
		return ferror(file) ? -EIO : -EINVAL;
	*ret_size = sizeof(*ev) + rest;
	return 1;
}

int clew_replay(const char *path, void (*fn)(void *arg, const struct clew_event *ev), void *arg,
		char *errbuf, size_t n)
{
	FILE *file = fopen(path, "rbe");
	struct clew_event *ev = malloc(RECORD_MAX + 8);
	long long at = MAGIC_LEN;
	size_t size;
	int err = 0;

	if (!file || !ev) {
		err = -errno;
		snprintf(errbuf, n, "cannot read %s: %s", path, strerror(errno));
		goto out;
	}
	if (fread(ev, 1, MAGIC_LEN, file) != MAGIC_LEN || memcmp(ev, MAGIC, MAGIC_LEN)) {
		err = -EINVAL;
		snprintf(errbuf, n, "%s is not a clew recording (version 1)", path);
		goto out;
	}
	while ((err = read_record(file, ev, &size)) > 0) {
		at += (long long)size;
		fn(arg, ev);
	}
	if (err)
		snprintf(errbuf, n, "%s: the record at byte %lld %s", path, at,
			 err == -EIO ? "cannot be read" : "is cut or damaged");
out:
	free(ev);
	if (file)
		fclose(file);
	return err;
}
