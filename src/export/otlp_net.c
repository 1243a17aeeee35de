/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that both OTLP transports share. They run when the exporter is opened, so that a wrong
 * setting is one clear line at the start and not a receiver that stays empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "export/otlp_net.h"

#define PEM_MAX (1u << 20)

uint32_t clew_otlp__timeout_ms(const struct clew_export_config *cfg)
{
	uint32_t ms = cfg->timeout_ms ? cfg->timeout_ms : CLEW_OTLP_TIMEOUT_MS;

	if (cfg->export_timeout_ms && cfg->export_timeout_ms < ms)
		ms = cfg->export_timeout_ms;
	return ms;
}

/* RFC 9110 5.1: token */
static bool is_header_name(const char *s)
{
	return *s && s[strspn(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] == 0;
}

/* Printable ASCII: what both HTTP and gRPC take without encoding. */
static bool is_header_value(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
			return false;
	return true;
}

int clew_otlp__read_pem(const char *path, char **ret, char *errbuf, size_t n)
{
	size_t used = 0;
	ssize_t got;
	char *buf;
	int fd, err;

	*ret = NULL;
	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	buf = fd < 0 ? NULL : malloc(PEM_MAX + 1);
	err = fd < 0 ? -errno : buf ? 0 : -ENOMEM;
	while (!err && used < PEM_MAX && (got = read(fd, buf + used, PEM_MAX - used)) != 0) {
		if (got > 0)
			used += (size_t)got;
		else if (errno != EINTR)
			err = -errno;
	}
	if (fd >= 0)
		close(fd);
	if (!err) {
		buf[used] = 0;
		if (!strstr(buf, "-----BEGIN "))
			err = -EBADMSG;
	}
	if (err) {
		snprintf(errbuf, n, "cannot use %s: %s; give a PEM file", path,
			 err == -EBADMSG ? "no PEM block in it" : strerror(-err));
		free(buf);
		return err;
	}
	*ret = buf;
	return 0;
}

static int check_pem(const char *path, char *errbuf, size_t n)
{
	char *text;
	int err = clew_otlp__read_pem(path, &text, errbuf, n);

	free(text);
	return err;
}

int clew_otlp__check(const struct clew_export_config *cfg, char *errbuf, size_t n)
{
	int err;

	if (!cfg->target || !*cfg->target) {
		snprintf(errbuf, n, "no endpoint; give a URL such as http://localhost:4317");
		return -EINVAL;
	}
	for (uint32_t i = 0; i < cfg->nr_headers; i++) {
		if (!is_header_name(cfg->headers[i].name)) {
			snprintf(errbuf, n, "header %u: its name is not an HTTP token", i + 1);
			return -EINVAL;
		}
		if (!is_header_value(cfg->headers[i].value)) {
			snprintf(errbuf, n, "header %s: its value is not printable ASCII",
				 cfg->headers[i].name);
			return -EINVAL;
		}
	}
	if (!cfg->client_key != !cfg->client_certificate) {
		snprintf(errbuf, n, "a client %s is given without its %s",
			 cfg->client_key ? "key" : "certificate",
			 cfg->client_key ? "certificate" : "key");
		return -EINVAL;
	}
	err = check_pem(cfg->certificate, errbuf, n);
	if (!err)
		err = check_pem(cfg->client_certificate, errbuf, n);
	if (!err)
		err = check_pem(cfg->client_key, errbuf, n);
	return err;
}

bool clew_otlp__is_loopback(const char *host)
{
	unsigned char a, b, c, d, end;

	if (!strcasecmp(host, "localhost") || !strcmp(host, "::1") || !strcmp(host, "[::1]"))
		return true;
	return sscanf(host, "%hhu.%hhu.%hhu.%hhu%c", &a, &b, &c, &d, &end) == 4 && a == 127;
}
