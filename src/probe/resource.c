/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resource.c - the OpenTelemetry resource of a process.
 *
 * What the operator said beats what the process says of itself (its own OTEL_ variables),
 * which beats what can be seen from outside: the systemd unit, the script, the binary.
 * Only then is the service unknown. Command lines leave the machine with the spans, so values
 * that look like secrets are replaced here, at the source.
 * Spec: OpenTelemetry resource semantic conventions (service, process, host, os, container,
 * telemetry.sdk); OTEL_RESOURCE_ATTRIBUTES is in W3C Baggage format without its properties.
 */
#include "probe/resource.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <xxhash.h>

#include "probe/procfs.h"

#define ENVIRON_MAX 65536
#define CMDLINE_MAX 16384
#define ARGS_TEXT   2048
#define ARGS_SEP    '\x1f'
#define REDACTED    "REDACTED"
#define VALUE_MAX   256

struct text {
	char *buf;
	size_t n, used;
};

static bool has(const struct text *t, const char *key)
{
	size_t at = 0;

	while (at < t->used) {
		const char *k = t->buf + at, *v = k + strlen(k) + 1;

		if (!strcmp(k, key))
			return true;
		at = (size_t)(v + strlen(v) + 1 - t->buf);
	}
	return false;
}

/* The first one to set a key wins; what does not fit is left out whole. */
static void put(struct text *t, const char *key, const char *value)
{
	size_t k = strlen(key) + 1, v = strlen(value) + 1;

	if (!*value || !*key || t->n - t->used < k || t->n - t->used - k < v || has(t, key))
		return;
	memcpy(t->buf + t->used, key, k);
	memcpy(t->buf + t->used + k, value, v);
	t->used += k + v;
}

static void __attribute__((format(printf, 3, 4))) putf(struct text *t, const char *key,
						       const char *fmt, ...)
{
	char value[VALUE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	put(t, key, value);
}

/* Everything that is read once and used for several attributes. */
struct facts {
	uint32_t pid;
	const struct clew_config *cfg;
	const struct clew_runtime *rt;
	struct clew_proc_stat stat;
	char exe[CLEW_PROCFS_PATH];
	char container[CLEW_CONTAINER_ID];
	char cgroup[8192];
	char cmdline[CMDLINE_MAX];
	size_t cmdline_len;
	char env[ENVIRON_MAX];
	size_t env_len;
};

static const char *env_of(const struct facts *f, const char *name)
{
	const char *v = clew_procfs__parse_env(f->env, f->env_len, name);

	return v && *v ? v : NULL; /* an empty one counts as not set (OTel) */
}

static const char *exe_name(const struct facts *f)
{
	const char *slash = strrchr(f->exe, '/');

	return slash ? slash + 1 : f->exe[0] ? f->exe : f->stat.comm;
}

static int unhex(int c)
{
	return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

static void decode(const char *p, size_t len, char *ret, size_t n)
{
	size_t i, used = 0;

	for (i = 0; i < len && used + 1 < n; i++) {
		int hi, lo, c = (unsigned char)p[i];

		if (c == '%' && len - i > 2) {
			hi = unhex((unsigned char)p[i + 1]);
			lo = unhex((unsigned char)p[i + 2]);
			if (hi >= 0 && lo >= 0 && (hi || lo)) {
				c = hi << 4 | lo;
				i += 2;
			}
		}
		ret[used++] = (char)c;
	}
	ret[used] = 0;
}

static void trim(const char **p, size_t *len)
{
	while (*len && (**p == ' ' || **p == '\t')) {
		(*p)++;
		(*len)--;
	}
	while (*len && ((*p)[*len - 1] == ' ' || (*p)[*len - 1] == '\t'))
		(*len)--;
}

/* One "key=value" of a list, decoded. Returns what follows it, or NULL at the end. */
static const char *next_attribute(const char *list, char *key, size_t kn, char *value, size_t vn)
{
	size_t len = strcspn(list, ","), klen, vlen;
	const char *eq = memchr(list, '=', len), *k = list, *v;

	key[0] = value[0] = 0;
	if (eq) {
		klen = (size_t)(eq - list);
		v = eq + 1;
		vlen = len - klen - 1;
		trim(&k, &klen);
		trim(&v, &vlen);
		decode(k, klen, key, kn);
		decode(v, vlen, value, vn);
	}
	return list[len] ? list + len + 1 : NULL;
}

int clew_resource__attribute(const char *list, const char *key, char *ret, size_t n)
{
	char k[128], v[VALUE_MAX];

	while (list) {
		list = next_attribute(list, k, sizeof(k), v, sizeof(v));
		if (strcmp(k, key) || !v[0])
			continue;
		snprintf(ret, n, "%s", v);
		return 0;
	}
	return -ENOENT;
}

static void put_attributes(struct text *t, const char *list)
{
	char k[128], v[VALUE_MAX];

	while (list) {
		list = next_attribute(list, k, sizeof(k), v, sizeof(v));
		put(t, k, v);
	}
}

static void service_name(const struct facts *f, struct text *t)
{
	const char *own = env_of(f, "OTEL_RESOURCE_ATTRIBUTES"), *exe = exe_name(f), *v;
	char name[VALUE_MAX];

	if (f->cfg && f->cfg->service_name && f->cfg->service_name[0])
		put(t, "service.name", f->cfg->service_name);
	else if ((v = env_of(f, "OTEL_SERVICE_NAME")))
		put(t, "service.name", v);
	else if (own && !clew_resource__attribute(own, "service.name", name, sizeof(name)))
		put(t, "service.name", name);
	else if (f->cfg && f->cfg->resource_attributes &&
		 !clew_resource__attribute(f->cfg->resource_attributes, "service.name", name,
					   sizeof(name)))
		put(t, "service.name", name);
	else if (!f->container[0] && !clew_resource__unit_name(f->cgroup, name, sizeof(name)))
		put(t, "service.name", name);
	else if (!clew_resource__script_name(exe, f->cmdline, f->cmdline_len, name, sizeof(name)))
		put(t, "service.name", name);
	else if (f->rt && (f->rt->kind == CLEW_RT_NGINX || f->rt->kind == CLEW_RT_GO))
		put(t, "service.name", f->rt->kind == CLEW_RT_NGINX ? "nginx" : exe);
	else if (f->rt && exe[0] &&
		 (!strcmp(f->rt->name, "native") || !strcmp(f->rt->name, "tokio") ||
		  !strcmp(f->rt->name, "php") || !strcmp(f->rt->name, "haproxy") ||
		  !strcmp(f->rt->name, "envoy") || !strcmp(f->rt->name, "graalvm")))
		put(t, "service.name", exe);
	else
		putf(t, "service.name", "unknown_service:%s", exe);
}

static bool is_secret(const char *p, size_t n)
{
	static const char *const words[] = {
		"password",    "passwd",     "passphrase", "secret",
		"token",       "apikey",     "api-key",	   "api_key",
		"access-key",  "access_key", "accesskey",  "private-key",
		"private_key", "credential", "signature",  "authorization"};
	size_t i, k;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (k = 0; k + strlen(words[i]) <= n; k++)
			if (!strncasecmp(p + k, words[i], strlen(words[i])))
				return true;
	return false;
}

static void append(char *ret, size_t n, size_t *used, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len && *used + 1 < n; i++)
		ret[(*used)++] = p[i] == ARGS_SEP ? ' ' : p[i];
}

/* "scheme://user:password@host": the part between "//" and "@". */
static bool userinfo(const char *arg, const char **ret_start, const char **ret_end)
{
	const char *start = strstr(arg, "://"), *at;

	if (!start)
		return false;
	start += 3;
	at = memrchr(start, '@', strcspn(start, "/?#"));
	if (!at)
		return false;
	*ret_start = start;
	*ret_end = at;
	return true;
}

/* One argument; true when the next one is the secret that this one announces. */
static bool one_arg(const char *arg, char *ret, size_t n, size_t *used)
{
	const char *eq = strchr(arg, '='), *start, *end;
	size_t name = eq ? (size_t)(eq - arg) : strlen(arg);

	if (is_secret(arg, name)) {
		if (!eq) {
			append(ret, n, used, arg, name);
			return arg[0] == '-';
		}
		append(ret, n, used, arg, name + 1);
		append(ret, n, used, REDACTED, strlen(REDACTED));
		return false;
	}
	if (userinfo(arg, &start, &end)) {
		append(ret, n, used, arg, (size_t)(start - arg));
		append(ret, n, used, REDACTED ":" REDACTED, 2 * strlen(REDACTED) + 1);
		arg = end;
	}
	/* further "key=value" pairs of one argument: a query, a connection string */
	while ((eq = strpbrk(arg, "&; ?"))) {
		size_t len = (size_t)(eq - arg) + 1;
		const char *v = memchr(arg, '=', len);

		if (v && is_secret(arg, (size_t)(v - arg))) {
			append(ret, n, used, arg, (size_t)(v - arg) + 1);
			append(ret, n, used, REDACTED, strlen(REDACTED));
			append(ret, n, used, eq, 1);
		} else {
			append(ret, n, used, arg, len);
		}
		arg += len;
	}
	eq = strchr(arg, '=');
	if (eq && is_secret(arg, (size_t)(eq - arg))) {
		append(ret, n, used, arg, (size_t)(eq - arg) + 1);
		append(ret, n, used, REDACTED, strlen(REDACTED));
	} else {
		append(ret, n, used, arg, strlen(arg));
	}
	return false;
}

size_t clew_resource__args(const char *cmdline, size_t len, char *ret, size_t n)
{
	size_t at = 0, used = 0;
	bool secret = false;

	if (!n)
		return 0;
	while (at < len && used + 1 < n) {
		const char *arg = cmdline + at, *nul = memchr(arg, 0, len - at);

		if (!nul) /* it was cut: what it is cannot be told */
			break;
		if (at && used + 1 < n)
			ret[used++] = ARGS_SEP;
		if (secret && arg[0] != '-') {
			append(ret, n, &used, REDACTED, strlen(REDACTED));
			secret = false;
		} else {
			secret = one_arg(arg, ret, n, &used);
		}
		at = (size_t)(nul - cmdline) + 1;
	}
	ret[used] = 0;
	return used;
}

struct owner {
	uint32_t uid;
	char name[64];
};

/* "name:password:uid:..." */
static int see_user(void *arg, const char *line, size_t n)
{
	struct owner *o = arg;
	const char *a = memchr(line, ':', n), *b, *end = line + n;
	uint64_t uid = 0;

	b = a ? memchr(a + 1, ':', n - (size_t)(a + 1 - line)) : NULL;
	if (!b || (size_t)(a - line) >= sizeof(o->name) || b + 1 == end ||
	    !isdigit((unsigned char)b[1]))
		return 0;
	for (b++; b < end && isdigit((unsigned char)*b) && uid <= UINT32_MAX; b++)
		uid = uid * 10 + (uint64_t)(*b - '0');
	if (uid != o->uid)
		return 0;
	memcpy(o->name, line, (size_t)(a - line));
	o->name[a - line] = 0;
	return 1;
}

static void put_owner(const struct facts *f, struct text *t)
{
	struct owner o = {0};
	int fd;

	if (clew_procfs__uid(f->pid, &o.uid))
		return;
	fd = clew_procfs__open_in_root(f->pid, "/etc/passwd");
	if (fd >= 0) {
		clew_procfs__each_line_of(fd, see_user, &o);
		close(fd);
	}
	if (o.name[0])
		put(t, "process.owner", o.name);
	else
		putf(t, "process.owner", "%" PRIu32, o.uid);
}

static void put_process(const struct facts *f, struct text *t)
{
	char args[ARGS_TEXT];

	putf(t, "process.pid", "%" PRIu32, f->pid);
	put(t, "process.executable.name", exe_name(f));
	put(t, "process.executable.path", f->exe);
	if (f->rt && f->rt->kind != CLEW_RT_UNKNOWN && f->rt->name[0]) {
		put(t, "process.runtime.name",
		    !strcmp(f->rt->name, "node") ? "nodejs" : f->rt->name);
		put(t, "process.runtime.version", f->rt->version);
	}
	put_owner(f, t);
	clew_resource__args(f->cmdline, f->cmdline_len, args, sizeof(args));
	put(t, "process.command_args", args);
}

static void read_line(const char *path, char *ret, size_t n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, ret, n - 1);

	if (fd >= 0)
		close(fd);
	ret[got > 0 ? got : 0] = 0;
	ret[strcspn(ret, "\n")] = 0;
}

static void put_host(const struct facts *f, struct text *t)
{
	char id[64], boot[64], seed[256];
	struct utsname u;
	XXH128_hash_t h;

	read_line("/etc/machine-id", id, sizeof(id));
	if (!id[0])
		read_line("/var/lib/dbus/machine-id", id, sizeof(id));
	read_line("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	snprintf(seed, sizeof(seed), "%s/%s/%" PRIu32 "/%" PRIu64, id, boot, f->pid,
		 f->stat.start_time);
	h = XXH3_128bits(seed, strlen(seed));
	/* a UUID of version 8 (RFC 9562 5.8): same process, same id */
	putf(t, "service.instance.id", "%08x-%04x-8%03x-%04x-%012" PRIx64,
	     (uint32_t)(h.high64 >> 32), (uint32_t)(h.high64 >> 16) & 0xffff,
	     (uint32_t)h.high64 & 0xfff, ((uint32_t)(h.low64 >> 48) & 0x3fff) | 0x8000,
	     (uint64_t)h.low64 & 0xffffffffffff);
	put(t, "host.id", id);
	if (uname(&u))
		return;
	put(t, "host.name", u.nodename);
	put(t, "host.arch",
	    !strcmp(u.machine, "x86_64")    ? "amd64"
	    : !strcmp(u.machine, "aarch64") ? "arm64"
					    : u.machine);
	put(t, "os.type", "linux");
	put(t, "os.version", u.release);
}

static const char *language(const struct clew_runtime *rt)
{
	static const struct {
		const char *name, *language;
	} map[] = {
		{"go", "go"},	      {"cpython", "python"}, {"python", "python"},
		{"pypy", "python"},   {"node", "nodejs"},    {"bun", "nodejs"},
		{"deno", "nodejs"},   {"java", "java"},	     {"graalvm", "java"},
		{"dotnet", "dotnet"}, {"ruby", "ruby"},	     {"php", "php"},
		{"tokio", "rust"},    {"beam", "erlang"},
	};
	size_t i;

	for (i = 0; rt && i < sizeof(map) / sizeof(map[0]); i++)
		if (!strcmp(rt->name, map[i].name))
			return map[i].language;
	return "cpp";
}

static int read_facts(struct facts *f)
{
	int err = clew_procfs__stat(f->pid, &f->stat);
	ssize_t n;

	if (err)
		return err;
	if (clew_procfs__exe(f->pid, f->exe, sizeof(f->exe)))
		f->exe[0] = 0;
	if (clew_procfs__read(f->pid, "cgroup", f->cgroup, sizeof(f->cgroup)) < 0)
		f->cgroup[0] = 0;
	if (clew_procfs__parse_container(f->cgroup, strlen(f->cgroup), f->container))
		f->container[0] = 0;
	n = clew_procfs__read(f->pid, "cmdline", f->cmdline, sizeof(f->cmdline));
	f->cmdline_len = n > 0 ? (size_t)n : 0;
	n = clew_procfs__read(f->pid, "environ", f->env, sizeof(f->env));
	f->env_len = n > 0 ? (size_t)n : 0;
	return 0;
}

int clew_resource_text__build(uint32_t pid, const struct clew_config *cfg,
			      const struct clew_runtime *runtime, char *buf, size_t n)
{
	struct text t = {.buf = buf, .n = n};
	struct facts *f = calloc(1, sizeof(*f)); /* its buffers are too large for a stack */
	const char *own;
	int err;

	if (!f)
		return -ENOMEM;
	f->pid = pid;
	f->cfg = cfg;
	f->rt = runtime;
	err = read_facts(f);
	if (err) {
		free(f);
		return err;
	}
	service_name(f, &t);
	put(&t, "telemetry.sdk.name", "clew");
	put(&t, "telemetry.sdk.language", language(runtime));
	put(&t, "telemetry.sdk.version", CLEW_VERSION);
	put(&t, "container.id", f->container);
	own = env_of(f, "OTEL_RESOURCE_ATTRIBUTES");
	if (own) { /* what the process says of its own service; the rest comes last */
		char value[VALUE_MAX];

		if (!clew_resource__attribute(own, "service.namespace", value, sizeof(value)))
			put(&t, "service.namespace", value);
		if (!clew_resource__attribute(own, "service.version", value, sizeof(value)))
			put(&t, "service.version", value);
		if (!clew_resource__attribute(own, "service.instance.id", value, sizeof(value)))
			put(&t, "service.instance.id", value);
	}
	put_host(f, &t);
	put_process(f, &t);
	put_attributes(&t, own);
	put_attributes(&t, cfg ? cfg->resource_attributes : NULL);
	free(f);
	if (!has(&t, "service.name"))
		return -ENOSPC;
	return (int)t.used;
}
