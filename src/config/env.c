/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.c - CLEW_KEY and CLEW_SECTION__KEY variables.
 *
 * The name is the path of the key in upper case, two underscores between section and key. The
 * keys of the top level that `distributed_tracing:` has can be written with that section too. A
 * CLEW_* variable that is no key is an error, as in the file. One exception: Kubernetes puts
 * CLEW_SERVICE_HOST, CLEW_PORT_4317_TCP and the like into every container beside a Service that
 * is called clew or clew-something; those are its names, not settings.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config_private.h"

#define PREFIX	"CLEW_"
#define VAR_MAX 128

const char *config_env__get(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; env && *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return (*env)[n + 1] ? *env + n + 1 : NULL;
	return NULL;
}

/* [X_]SERVICE_HOST, [X_]SERVICE_PORT[_NAME], [X_]PORT=tcp://..., [X_]PORT_n_TCP[_...] */
static bool env__service_link(const char *name, const char *value)
{
	static const char *const words[] = {"SERVICE_HOST", "SERVICE_PORT", "PORT"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *at = strstr(name, words[i]);
		const char *rest = at ? at + strlen(words[i]) : NULL;

		if (!at || (at != name && at[-1] != '_'))
			continue;
		if (i < 2)
			return !*rest || *rest == '_';
		if (!*rest)
			return strstr(value, "://") != NULL;
		if (rest[0] == '_' && isdigit((unsigned char)rest[1]))
			return strstr(rest, "_TCP") || strstr(rest, "_UDP") ||
			       strstr(rest, "_SCTP");
	}
	return false;
}

/* The row that a name without its prefix means, or NULL. */
static const struct config_key *env__key(const char *name, size_t n)
{
	char lower[VAR_MAX];
	const struct config_key *key;
	const char *split;
	size_t len;

	if (n >= sizeof(lower))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (islower((unsigned char)name[i]))
			return NULL;
		lower[i] = (char)tolower((unsigned char)name[i]);
	}
	lower[n] = '\0';
	split = strstr(lower, "__");
	if (!split)
		return config_key__find(CONFIG_TOP, lower, n);
	len = (size_t)(split - lower);
	split += 2;
	if (len == strlen("distributed_tracing") && !strncmp(lower, "distributed_tracing", len)) {
		key = config_key__find(CONFIG_TOP, split, strlen(split));
		return key && key->flags & CONFIG_SEED ? key : NULL;
	}
	for (int s = CONFIG_TOP + 1; s < CONFIG_EXPORTERS; s++)
		if (strlen(config_section_names[s]) == len &&
		    !strncmp(config_section_names[s], lower, len))
			return config_key__find(s, split, strlen(split));
	return NULL;
}

static int env__unknown(struct config_load *ld, const char *var, int n)
{
	if (!strncmp(var, PREFIX "EXPORTERS", strlen(PREFIX "EXPORTERS")))
		return config__fail(
			ld->errbuf, ld->errlen,
			"%.*s: exporters have no variables; expected CLEW_OTLP_ENDPOINT, "
			"OTEL_* variables, --export or the file",
			n, var);
	return config__fail(
		ld->errbuf, ld->errlen,
		"%.*s: unknown variable; expected CLEW_KEY or CLEW_SECTION__KEY of a key "
		"in docs/configuration.md",
		n, var);
}

static int env__variable(struct config_load *ld, const char *var)
{
	const char *eq = strchr(var, '=');
	const char *name = var + strlen(PREFIX);
	const struct config_key *key;
	char text[384], bare[VAR_MAX];
	uint32_t index;
	int n, err;

	if (!eq)
		return 0;
	n = (int)(eq - var > VAR_MAX ? VAR_MAX : eq - var);
	key = env__key(name, (size_t)(eq - name));
	if (!key) {
		snprintf(bare, sizeof(bare), "%.*s", (int)(eq - name), name);
		return env__service_link(bare, eq + 1) ? 0 : env__unknown(ld, var, n);
	}
	if (!eq[1])
		return 0; /* empty is unset */
	index = config_key__index(key);
	if (ld->variable[index])
		return config__fail(ld->errbuf, ld->errlen,
				    "%.*s: the same key as %.*s; expected one of them", n, var,
				    (int)strcspn(ld->variable[index], "="), ld->variable[index]);
	ld->variable[index] = var;
	err = config_value__set(key, ld->cfg, eq + 1, text, sizeof(text));
	if (err == -EINVAL)
		return config__fail(ld->errbuf, ld->errlen, "%.*s: %s", n, var, text);
	if (!err)
		config__mark(ld, key, CONFIG_FROM_ENV);
	return err;
}

int config_env__apply(struct config_load *ld)
{
	int err = 0;

	for (char *const *env = ld->env; !err && env && *env; env++)
		if (!strncmp(*env, PREFIX, strlen(PREFIX)))
			err = env__variable(ld, *env);
	return err;
}
