/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url.c - the few parts of a receiver's URL that decide something.
 *
 * Scheme (TLS or not), port (the protocol when none is named) and path (a base endpoint or one
 * that is used as it is). The rest is libcurl's and gRPC's business. RFC 3986, section 3.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config_private.h"

#define URL_MAX 2048

static int url__wrong(const char *text, const char *what, const char *expected, char *errbuf,
		      size_t n)
{
	char shown[128];

	return config__fail(errbuf, n, "\"%.96s\" %s; expected %s",
			    config_url__mask(text, shown, sizeof(shown)), what, expected);
}

static int url__port(struct config_url *url, const char *colon, const char *end)
{
	uint32_t port = 0;

	for (const char *p = colon + 1; p < end; p++) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		port = port * 10 + (uint32_t)(*p - '0');
		if (port > 65535)
			return -EINVAL;
	}
	if (!port)
		return -EINVAL;
	url->port = port;
	return 0;
}

/* host, host:port, [v6] or [v6]:port */
static int url__host(struct config_url *url)
{
	const char *p = url->host, *end = p + url->host_len, *close;

	if (p < end && *p == '[') {
		close = memchr(p, ']', url->host_len);
		if (!close || close == p + 1 || (close + 1 < end && close[1] != ':'))
			return -EINVAL;
		return close + 1 < end ? url__port(url, close + 1, end) : 0;
	}
	close = memchr(p, ':', url->host_len);
	if (p == end || close == p)
		return -EINVAL;
	for (; p < (close ? close : end); p++)
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
			return -EINVAL;
	return close ? url__port(url, close, end) : 0;
}

int config_url__parse(struct config_url *url, const char *text, char *errbuf, size_t n)
{
	static const char good[] = "http://HOST:PORT or https://HOST:PORT";
	const char *scheme_end = strstr(text, "://"), *p = text, *at;
	size_t len;

	memset(url, 0, sizeof(*url));
	if (strlen(text) > URL_MAX)
		return config__fail(errbuf, n, "the URL is too long; expected at most %u bytes",
				    URL_MAX);
	for (const char *c = text; *c; c++)
		if (isspace((unsigned char)*c) || iscntrl((unsigned char)*c))
			return url__wrong(text, "holds a blank", good, errbuf, n);
	if (scheme_end) {
		len = (size_t)(scheme_end - text);
		url->has_scheme = true;
		url->tls = len == 5 && !strncasecmp(text, "https", 5);
		if (!url->tls && (len != 4 || strncasecmp(text, "http", 4)))
			return url__wrong(text, "has an unknown scheme", good, errbuf, n);
		p = scheme_end + 3;
	}
	len = strcspn(p, "/?#");
	url->path = p + len;
	at = memrchr(p, '@', len);
	if (at) {
		url->has_user = true;
		len -= (size_t)(at + 1 - p);
		p = at + 1;
	}
	url->host = p;
	url->host_len = len;
	if (url__host(url))
		return url__wrong(text, "has no valid host or port", good, errbuf, n);
	return 0;
}

char *config_url__with_path(const char *text, const struct config_url *url, const char *path)
{
	char *out;

	if (asprintf(&out, "%.*s%s", (int)(url->path - text), text, path) < 0)
		return NULL;
	return out;
}

const char *config_url__mask(const char *text, char *buf, size_t n)
{
	const char *scheme_end = strstr(text, "://");
	const char *host = scheme_end ? scheme_end + 3 : text;
	const char *at = memrchr(host, '@', strcspn(host, "/?#"));

	if (at)
		snprintf(buf, n, "%.*s***%s", (int)(host - text), text, at);
	else
		snprintf(buf, n, "%s", text);
	return buf;
}
