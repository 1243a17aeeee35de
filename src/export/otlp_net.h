/* SPDX-License-Identifier: Apache-2.0 */
/* otlp_net.h - what OTLP over gRPC and over HTTP have in common. */
#ifndef CLEW_EXPORT_OTLP_NET_H
#define CLEW_EXPORT_OTLP_NET_H

#include <stdbool.h>
#include <stddef.h>

#include <clew/config.h>

#include "export/otlp.h"

#define CLEW_OTLP_TIMEOUT_MS 10000

/* The time one attempt may take. */
uint32_t clew_otlp__timeout_ms(const struct clew_export_config *cfg);

/*
 * Settings that no transport can work with: header names and values with line feeds or other
 * control characters, a client certificate without its key, PEM files that cannot be read.
 * 0, or -errno and a line in errbuf.
 */
int clew_otlp__check(const struct clew_export_config *cfg, char *errbuf, size_t n);

/* A whole PEM file, NUL terminated, to free(). NULL path gives NULL. 0 or -errno. */
int clew_otlp__read_pem(const char *path, char **ret, char *errbuf, size_t n);

/* The host means this machine: 127.0.0.0/8, ::1, localhost. */
bool clew_otlp__is_loopback(const char *host);

#endif
