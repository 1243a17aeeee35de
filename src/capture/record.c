/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - writes the event stream to a file, without the secrets.
 *
 * A head keeps its lines; the values of credential headers are masked. In a body every line that
 * is not a chunk size (RFC 9112 7.1) is masked, so that a replay finds the same framing: lengths
 * and line ends stay, the content does not. Which side of the empty line a connection's next
 * bytes are on is kept in a small direct-mapped table; a collision masks too much, never too
 * little, because an unknown connection counts as "in a body" unless a message starts there.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <clew/capture.h>

#define MAGIC	   "clew recording 1       \n" /* 24 bytes */
#define MAGIC_LEN  24
#define SLOTS	   16384
#define RECORD_MAX 65536

struct slot {
	uint64_t conn_id;
	bool in_head[2];
};

struct clew_recorder {
	FILE *file;
	int err;
	struct slot slots[SLOTS];
	uint64_t buf[RECORD_MAX / 8];
};

static const char *const secret_headers[] = {
	"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token",
};

static bool is_chunk_size(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && i < 16 && strchr("0123456789abcdefABCDEF", p[i]) && p[i])
		i++;
	return i == n || (i && p[i] == ';');
}

static void mask(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\r' && p[i] != '\n')
			p[i] = 'x';
}

static void mask_header(uint8_t *p, size_t n)
{
	uint8_t *colon = memchr(p, ':', n);
	size_t name = colon ? (size_t)(colon - p) : 0;

	for (size_t i = 0; i < sizeof(secret_headers) / sizeof(secret_headers[0]); i++)
		if (name && strlen(secret_headers[i]) == name &&
		    !strncasecmp((char *)p, secret_headers[i], name))
			mask(colon + 1, n - name - 1);
}

static bool starts_message(const uint8_t *p, size_t n)
{
	size_t i = 0;

	if (n >= 5 && !memcmp(p, "HTTP/", 5))
		return true;
	while (i < n && i < 20 && ((p[i] >= 'A' && p[i] <= 'Z') || p[i] == '-'))
		i++;
	return i >= 3 && i < n && p[i] == ' ';
}

static void redact(struct clew_recorder *rec, struct clew_segment *seg)
{
	struct slot *s = &rec->slots[(seg->conn_id * 0x9e3779b97f4a7c15ULL) >> 50];
	size_t at = 0, n = seg->cap;
	bool head;

	if (s->conn_id != seg->conn_id) {
		memset(s, 0, sizeof(*s));
		s->conn_id = seg->conn_id;
	}
	head = s->in_head[seg->dir & 1];
	while (at < n) {
		uint8_t *line = seg->data + at, *end = memchr(line, '\n', n - at);
		size_t len = end ? (size_t)(end - line) + 1 : n - at, text = len;

		while (text && (line[text - 1] == '\n' || line[text - 1] == '\r'))
			text--;
		if (!head && starts_message(line, text))
			head = true;
		else if (head && !text && end)
			head = false;
		else if (head)
			mask_header(line, text);
		else if (!is_chunk_size(line, text))
			mask(line, text);
		at += len;
	}
	s->in_head[seg->dir & 1] = head;
	if (!head &&
	    !(seg->tail_len >= 5 && !memcmp(seg->tail + seg->tail_len - 5, "0\r\n\r\n", 5)))
		mask(seg->tail, seg->tail_len);
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

int clew_replay(const char *path, void (*fn)(void *arg, const struct clew_event *ev), void *arg,
		char *errbuf, size_t n)
{
	FILE *file = fopen(path, "rbe");
	struct clew_event *ev = malloc(RECORD_MAX + 8);
	long long at = MAGIC_LEN;
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
	while (fread(ev, 1, sizeof(*ev), file) == sizeof(*ev)) {
		size_t rest = ((ev->size + 7UL) & ~7UL) - sizeof(*ev);

		if (ev->size < sizeof(*ev) || fread(ev + 1, 1, rest, file) != rest) {
			err = -EINVAL;
			snprintf(errbuf, n, "%s: the record at byte %lld is cut or damaged", path,
				 at);
			break;
		}
		at += (long long)(sizeof(*ev) + rest);
		fn(arg, ev);
	}
out:
	free(ev);
	if (file)
		fclose(file);
	return err;
}
