/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_config.c - libFuzzer target: bytes as a configuration file, through the loader and the
 * printer. What is accepted must print, and what was printed must be accepted again and print
 * the same: the printer's escapes and the reader's rules keep each other honest.
 */
#include <stdlib.h>
#include <string.h>

#include "config/config_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct clew_config *load(const void *bytes, size_t n)
{
	char errbuf[512] = "";
	struct config_load ld = {.cfg = config__new(),
				 .file = "fuzz.yaml",
				 .errbuf = errbuf,
				 .errlen = sizeof(errbuf)};
	struct config_doc doc;
	int err = -ENOMEM;

	if (!ld.cfg)
		return NULL;
	err = config_doc__parse(&doc, ld.file, bytes, n, errbuf, sizeof(errbuf));
	if (!err)
		err = config_file__apply(&ld, &doc);
	config_doc__free(&doc);
	if (!err)
		err = config_exporter__shorthand(&ld);
	if (!err)
		err = config_exporter__finish(&ld, true);
	/* Each refusal says where and why, on one line. */
	if (err == -EINVAL && (!strstr(errbuf, "fuzz.yaml:") || strchr(errbuf, '\n')))
		abort();
	if (err) {
		clew_config__free(ld.cfg);
		return NULL;
	}
	return ld.cfg;
}

static char *show(const struct clew_config *cfg, bool json, size_t *ret_n)
{
	char *text = NULL, *copy;
	FILE *out = open_memstream(&text, ret_n);

	if (!out || clew_config__show(cfg, json, out))
		abort();
	fclose(out);
	copy = strdup(text); /* gcc 12 thinks that `text` itself is handed out */
	free(text);
	return copy;
}

/* The values without their sources, which do change. */
static void compare(char *a, char *b)
{
	char *end_a = strstr(a, "\"origins\": {"), *end_b = strstr(b, "\"origins\": {");

	if (!end_a || !end_b || end_a - a != end_b - b || memcmp(a, b, (size_t)(end_a - a)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clew_config *cfg = load(data, size), *again;
	char *yaml, *json, *json_again;
	size_t n, ignored;

	if (!cfg)
		return 0;
	json = show(cfg, true, &ignored);
	yaml = show(cfg, false, &n);
	/* Masked credentials are another URL; a file that grew beyond the cap is refused. */
	if (!memchr(data, '@', size) && n <= CONFIG_FILE_MAX) {
		again = load(yaml, n);
		if (!again)
			abort();
		json_again = show(again, true, &ignored);
		compare(json, json_again);
		free(json_again);
		clew_config__free(again);
	}
	free(json);
	free(yaml);
	clew_config__free(cfg);
	return 0;
}
