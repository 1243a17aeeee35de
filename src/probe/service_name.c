/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_name.c - what to call a service that nobody named.
 *
 * A program's own file name does for compiled programs. An interpreter's does not: its
 * arguments name the script, module, archive or application that it runs, each interpreter in
 * its own way, and servers such as uvicorn name another one in turn. The rules are tables of
 * options that take a value; whatever they do not understand gives no name, never a wrong one.
 */
#include "probe/resource.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ARGS_MAX 64

struct args {
	const char *v[ARGS_MAX];
	int n;
};

static void split(const char *cmdline, size_t len, struct args *a)
{
	size_t at = 0;

	a->n = 0;
	while (at < len && a->n < ARGS_MAX) {
		const char *nul = memchr(cmdline + at, 0, len - at);

		if (!nul)
			return; /* cut in the middle: not a whole argument */
		a->v[a->n++] = cmdline + at;
		at = (size_t)(nul - cmdline) + 1;
	}
}

static bool begins(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

static bool any_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(s, *list))
			return true;
	return false;
}

static int set_n(char *ret, size_t n, const char *p, size_t len)
{
	size_t i, used = 0;

	for (i = 0; i < len && used + 1 < n; i++)
		if ((unsigned char)p[i] >= ' ' && p[i] != 0x7f)
			ret[used++] = p[i];
	ret[used] = 0;
	return used ? 0 : -ENOENT;
}

/* "/srv/shop/orders.py" -> "orders"; names that every project has take their folder's. */
static int from_path(const char *path, char *ret, size_t n)
{
	static const char *const endings[] = {".py", ".pyc", ".js",  ".mjs", ".cjs", ".ts",  ".rb",
					      ".pl", ".php", ".jar", ".dll", ".ru",  ".war", NULL};
	static const char *const generic[] = {"__main__", "manage", "index", NULL};
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *up;
	size_t len = strlen(base), i;
	char name[128];

	for (i = 0; endings[i]; i++) {
		size_t e = strlen(endings[i]);

		if (len > e && !strcmp(base + len - e, endings[i])) {
			len -= e;
			break;
		}
	}
	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1),
		 base);
	if (slash && slash > path && any_of(name, generic)) {
		for (up = slash; up > path && up[-1] != '/'; up--)
			;
		if (slash > up && up[0] != '.')
			return set_n(ret, n, up, (size_t)(slash - up));
	}
	return set_n(ret, n, base, len);
}

/* "shop.main:app" -> "shop" */
static int from_application(const char *app, char *ret, size_t n)
{
	const char *slash = strrchr(app, '/');

	if (slash)
		app = slash + 1;
	return set_n(ret, n, app, strcspn(app, ".:"));
}

/* Servers that are told which application to run. */
static bool is_launcher(const char *name)
{
	static const char *const names[] = {"uvicorn",	"gunicorn", "hypercorn",
					    "daphne",	"granian",  "waitress-serve",
					    "waitress", "uwsgi",    NULL};

	return any_of(name, names);
}

static int launched(const struct args *a, int from, const char *launcher, char *ret, size_t n)
{
	static const char *const app_options[] = {"--module", "-w", "--wsgi", "--app", NULL};
	int i;

	for (i = from; i < a->n; i++) {
		const char *s = a->v[i], *colon;

		/* (gunicorn's -w is a number of workers) */
		if (any_of(s, app_options) && i + 1 < a->n &&
		    isalpha((unsigned char)a->v[i + 1][0]))
			return from_application(a->v[i + 1], ret, n);
		if (begins(s, "--module=") || begins(s, "--app="))
			return from_application(strchr(s, '=') + 1, ret, n);
		/* "module:attribute", which a "host:port" is not */
		colon = strchr(s, ':');
		if (s[0] != '-' && colon && (isalpha((unsigned char)colon[1]) || colon[1] == '_') &&
		    (isalpha((unsigned char)s[0]) || s[0] == '_'))
			return from_application(s, ret, n);
	}
	return set_n(ret, n, launcher, strlen(launcher));
}

static int flask(const struct args *a, int from, char *ret, size_t n)
{
	int i;

	for (i = from; i < a->n; i++) {
		if ((!strcmp(a->v[i], "--app") || !strcmp(a->v[i], "-A")) && i + 1 < a->n)
			return from_application(a->v[i + 1], ret, n);
		if (begins(a->v[i], "--app="))
			return from_application(a->v[i] + 6, ret, n);
	}
	return set_n(ret, n, "flask", 5);
}

/* A program or module of Python, and the arguments behind it. */
static int python_target(const struct args *a, int at, bool module, char *ret, size_t n)
{
	const char *name = a->v[at], *slash = strrchr(name, '/');
	size_t len;

	if (slash)
		name = slash + 1;
	if (is_launcher(name))
		return launched(a, at + 1, name, ret, n);
	if (!strcmp(name, "flask"))
		return flask(a, at + 1, ret, n);
	if (!module)
		return from_path(a->v[at], ret, n);
	len = strlen(name);
	if (len > 9 && !strcmp(name + len - 9, ".__main__"))
		len -= 9;
	return set_n(ret, n, name, len);
}

static int python(const struct args *a, char *ret, size_t n)
{
	int i;

	for (i = 1; i < a->n; i++) {
		const char *s = a->v[i];
		size_t k;

		if (s[0] != '-' || !s[1])
			return s[0] == '-' ? -ENOENT : python_target(a, i, false, ret, n);
		if (s[1] == '-') {
			i += !strcmp(s, "--check-hash-based-pycs");
			continue;
		}
		for (k = 1; s[k]; k++) { /* short options may stand together: -Bum module */
			if (s[k] == 'c')
				return -ENOENT;
			if (s[k] == 'm') {
				if (s[k + 1])
					return set_n(ret, n, s + k + 1, strlen(s + k + 1));
				return i + 1 < a->n ? python_target(a, i + 1, true, ret, n)
						    : -ENOENT;
			}
			if (s[k] == 'W' || s[k] == 'X') { /* they take the rest, or the next */
				i += !s[k + 1];
				break;
			}
		}
	}
	return -ENOENT;
}

static int node(const struct args *a, char *ret, size_t n)
{
	static const char *const with_value[] = {
		"-r", "--require",    "--import", "--loader",	"--experimental-loader",
		"-C", "--conditions", "--title",  "--env-file", "--icu-data-dir",
		NULL};
	static const char *const commands[] = {"run", "serve", "start", NULL};
	static const char *const no_script[] = {"-e", "--eval", "-p", "--print", "-i", NULL};
	int i;

	for (i = 1; i < a->n; i++) {
		if (any_of(a->v[i], no_script))
			return -ENOENT;
		if (any_of(a->v[i], with_value))
			i++;
		else if (a->v[i][0] != '-' && !(i == 1 && any_of(a->v[i], commands)))
			return from_path(a->v[i], ret, n);
	}
	return -ENOENT;
}

static int java(const struct args *a, char *ret, size_t n)
{
	static const char *const with_value[] = {
		"-cp",		 "-classpath",	"--class-path",	 "-p",		"--module-path",
		"--add-modules", "--add-opens", "--add-exports", "--add-reads", NULL};
	int i;

	for (i = 1; i < a->n; i++) {
		const char *s = a->v[i], *dot;

		if (any_of(s, with_value)) {
			i++;
		} else if (!strcmp(s, "-jar")) {
			return i + 1 < a->n ? from_path(a->v[i + 1], ret, n) : -ENOENT;
		} else if ((!strcmp(s, "-m") || !strcmp(s, "--module")) && i + 1 < a->n) {
			return set_n(ret, n, a->v[i + 1], strcspn(a->v[i + 1], "/"));
		} else if (s[0] != '-' && s[0] != '@') {
			dot = strrchr(s, '.');
			return dot ? set_n(ret, n, dot + 1, strlen(dot + 1))
				   : set_n(ret, n, s, strlen(s));
		}
	}
	return -ENOENT;
}

/* Ruby, Perl, PHP, .NET: the first argument that is no option. */
static int plain(const struct args *a, char *ret, size_t n)
{
	static const char *const with_value[] = {"-I", "-r", "-C", "-c", "-d", "-S", "-t", NULL};
	static const char *const no_script[] = {"-e", "-E", NULL};
	int i;

	for (i = 1; i < a->n; i++) {
		if (any_of(a->v[i], no_script))
			return -ENOENT;
		if (any_of(a->v[i], with_value))
			i++;
		else if (a->v[i][0] != '-' && strcmp(a->v[i], "exec") != 0)
			return from_path(a->v[i], ret, n);
	}
	return -ENOENT;
}

/* Servers rewrite their title: "gunicorn: worker [shop]", "puma 6.4 (tcp://...) [shop]". */
static int from_title(const struct args *a, char *ret, size_t n)
{
	static const char *const titles[] = {"gunicorn: ", "puma ", "puma: ", "unicorn ", NULL};
	const char *open, *close;
	int i;

	for (i = 0; a->n && titles[i]; i++) {
		if (!begins(a->v[0], titles[i]))
			continue;
		open = strrchr(a->v[0], '[');
		close = open ? strchr(open, ']') : NULL;
		if (close && close > open + 1)
			return set_n(ret, n, open + 1, strcspn(open + 1, "].:"));
		return set_n(ret, n, titles[i], strcspn(titles[i], ": "));
	}
	return -ENOENT;
}

int clew_resource__script_name(const char *exe_name, const char *cmdline, size_t len, char *ret,
			       size_t n)
{
	static const struct {
		const char *prefix;
		int (*rule)(const struct args *a, char *ret, size_t n);
	} interpreters[] = {
		{"python", python}, {"pypy", python},  {"node", node},	{"bun", node},
		{"deno", node},	    {"java", java},    {"ruby", plain}, {"perl", plain},
		{"php", plain},	    {"dotnet", plain}, {"mono", plain},
	};
	struct args a;
	size_t i;

	split(cmdline, len, &a);
	if (!from_title(&a, ret, n))
		return 0;
	if (begins(exe_name, "php-fpm") || begins(exe_name, "node_exporter"))
		return -ENOENT;
	if (!strcmp(exe_name, "uwsgi"))
		return launched(&a, 1, "uwsgi", ret, n);
	for (i = 0; i < sizeof(interpreters) / sizeof(interpreters[0]); i++)
		if (begins(exe_name, interpreters[i].prefix))
			return interpreters[i].rule(&a, ret, n);
	return -ENOENT;
}

/* systemd writes other bytes as \xNN in unit names. */
static int unescape(const char *p, size_t len, char *ret, size_t n)
{
	size_t i, used = 0;

	for (i = 0; i < len && used + 1 < n; i++) {
		unsigned int c = (unsigned char)p[i];

		if (c == '\\' && len - i >= 4 && p[i + 1] == 'x' &&
		    isxdigit((unsigned char)p[i + 2]) && isxdigit((unsigned char)p[i + 3])) {
			char hex[3] = {p[i + 2], p[i + 3], 0};

			sscanf(hex, "%x", &c);
			i += 3;
		}
		if (c >= ' ' && c != 0x7f)
			ret[used++] = (char)c;
	}
	ret[used] = 0;
	return used ? 0 : -ENOENT;
}

int clew_resource__unit_name(const char *cgroup, char *ret, size_t n)
{
	/* units from which people start programs by hand or by clock: they name nothing */
	static const char *const shells[] = {
		"ssh",	      "sshd",	"cron",	   "crond",	    "atd",  "init", "docker",
		"containerd", "podman", "kubelet", "systemd-udevd", "dbus", NULL};
	static const char suffix[] = ".service";
	size_t best_len = 0, slen = strlen(suffix);
	const char *p = cgroup, *best = NULL;

	while (*p) {
		size_t len = strcspn(p, "/\n");

		if (len > slen && !memcmp(p + len - slen, suffix, slen) && !begins(p, "user@") &&
		    !begins(p, "getty@") && !begins(p, "serial-getty@")) {
			best = p;
			best_len = len - slen;
		}
		p += len;
		p += *p != 0;
	}
	if (!best || unescape(best, best_len, ret, n))
		return -ENOENT;
	return any_of(ret, shells) ? -ENOENT : 0;
}
