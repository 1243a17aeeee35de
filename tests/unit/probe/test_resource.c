/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include <sys/stat.h>
#include <sys/utsname.h>

#include "probe/resource.h"

struct script_row {
	const char *exe, *cmdline; /* arguments separated by '|' */
	const char *want;	   /* NULL: no name */
};

static size_t zeros(const char *s, char *buf)
{
	size_t i, n = strlen(s) + 1;

	for (i = 0; i < n; i++)
		buf[i] = s[i] == '|' ? 0 : s[i];
	return n;
}

static void script_names(void **state)
{
	static const struct script_row rows[] = {
		{"python3.11", "python3|-m|uvicorn|app.main:app|--port|80", "app"},
		{"python3.11", "python3|-m|uvicorn|--host|0.0.0.0:80|shop:api", "shop"},
		{"python3.11", "python3|/x/orders.py|--port|1", "orders"},
		{"python3.11", "/usr/bin/python3|/usr/local/bin/uvicorn|cart.main:app", "cart"},
		{"python3.11", "/usr/bin/python3|/usr/bin/gunicorn|-w|4|wsgi:app", "wsgi"},
		{"python3.11", "python3|/usr/bin/gunicorn|-b|127.0.0.1:80|wsgi:app", "wsgi"},
		{"python3.11", "python3|/usr/bin/gunicorn", "gunicorn"},
		{"python3.11", "python3|/usr/bin/flask|--app|orders|run", "orders"},
		{"python3.11", "python3|-m|flask|--app=pay.web:create|run", "pay"},
		{"python3.11", "python3|/usr/bin/flask|run", "flask"},
		{"python3.11", "python3|-u|-X|dev|-W|ignore|-m|shop.worker", "shop.worker"},
		{"python3.11", "python3|-Bum|shop", "shop"},
		{"python3.11", "python3|-m|shop.__main__", "shop"},
		{"python3.11", "python3|-Xdev|job.py", "job"},
		{"python3.11", "python3|/srv/store/manage.py|runserver", "store"},
		{"python3.11", "python3|/srv/store/__main__.py", "store"},
		{"python3.11", "python3|-c|import x", NULL},
		{"python3.11", "python3", NULL},
		{"python3.11", "python3|-", NULL},
		{"python3.11", "python3|-m", NULL},
		{"python3.11", "gunicorn: worker [billing]", "billing"},
		{"python3.11", "gunicorn: master [billing.wsgi:app]", "billing"},
		{"node", "node|server.js", "server"},
		{"node", "node|--require|./trace.js|--max-old-space-size=99|/a/api.mjs", "api"},
		{"node", "node|/srv/web/index.js", "web"},
		{"node", "node|-e|1", NULL},
		{"java", "java|-Xmx1g|-cp|a.jar:b.jar|com.acme.Orders|x", "Orders"},
		{"java", "java|-Dk=v|-jar|/app/billing.jar", "billing"},
		{"java", "java|-p|mods|-m|com.acme.shop/com.acme.Main", "com.acme.shop"},
		{"java", "java|-version", NULL},
		{"ruby", "ruby|-Ilib|bin/api.rb", "api"},
		{"ruby", "puma 6.4.0 (tcp://0.0.0.0:80) [shop]", "shop"},
		{"ruby", "puma: cluster worker 0: 12 [shop]", "shop"},
		{"php8.2", "php|-d|x=1|/srv/job.php", "job"},
		{"php-fpm8.2", "php-fpm: pool www", NULL},
		{"dotnet", "dotnet|/app/Shop.Api.dll", "Shop.Api"},
		{"uwsgi", "uwsgi|--http|:80|--module|shop.wsgi:app", "shop"},
		{"deno", "deno|run|--allow-net|srv.ts", "srv"},
		{"sleep", "sleep|60", NULL},
	};
	char buf[256], name[64];
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int err;

		n = zeros(rows[i].cmdline, buf);
		err = clew_resource__script_name(rows[i].exe, buf, n, name, sizeof(name));
		if (rows[i].want && (err || strcmp(name, rows[i].want)))
			fail_msg("%s: %s, not %s", rows[i].cmdline, err ? "none" : name,
				 rows[i].want);
		if (!rows[i].want && !err)
			fail_msg("%s: %s, not none", rows[i].cmdline, name);
	}
}

static void unit_names(void **state)
{
	char name[64];

	(void)state;
	assert_int_equal(
		clew_resource__unit_name("0::/system.slice/shop.service\n", name, sizeof(name)), 0);
	assert_string_equal(name, "shop");
	assert_int_equal(
		clew_resource__unit_name("9:name=systemd:/system.slice/a.service/sub\n0::/\n", name,
					 sizeof(name)),
		0);
	assert_string_equal(name, "a");
	assert_int_equal(
		clew_resource__unit_name("0::/user.slice/user-1000.slice/user@1000.service/"
					 "app.slice/my\\x2dapp.service\n",
					 name, sizeof(name)),
		0);
	assert_string_equal(name, "my-app");
	assert_int_equal(clew_resource__unit_name("0::/user.slice/user-0.slice/user@0.service/x\n",
						  name, sizeof(name)),
			 -ENOENT);
	assert_int_equal(
		clew_resource__unit_name("0::/system.slice/ssh.service\n", name, sizeof(name)),
		-ENOENT);
	assert_int_equal(
		clew_resource__unit_name("0::/system.slice/.service\n", name, sizeof(name)),
		-ENOENT);
	assert_int_equal(clew_resource__unit_name("", name, sizeof(name)), -ENOENT);
}

static void args_are(const char *in, const char *want)
{
	char buf[512], out[512];
	size_t n = zeros(in, buf), i, len;

	len = clew_resource__args(buf, n, out, sizeof(out));
	for (i = 0; i < len; i++)
		if (out[i] == '\x1f')
			out[i] = '|';
	assert_string_equal(out, want);
}

static void secrets(void **state)
{
	char buf[64], out[16];
	size_t n;

	(void)state;
	args_are("a|b c|", "a|b c|");
	args_are("x|--password=hunter2|y", "x|--password=REDACTED|y");
	args_are("x|--password|hunter2|y", "x|--password|REDACTED|y");
	args_are("x|--auth-token|abc", "x|--auth-token|REDACTED");
	args_are("x|--client-secret|--verbose|y", "x|--client-secret|--verbose|y");
	args_are("java|-Dspring.datasource.PASSWORD=x",
		 "java|-Dspring.datasource.PASSWORD=REDACTED");
	args_are("x|API_KEY=abc", "x|API_KEY=REDACTED");
	args_are("x|postgres://bob:s3c@db/shop", "x|postgres://REDACTED:REDACTED@db/shop");
	args_are("x|https://h/p?a=1&access_token=zzz&b=2",
		 "x|https://h/p?a=1&access_token=REDACTED&b=2");
	args_are("x|https://h/p?token=zzz", "x|https://h/p?token=REDACTED");
	args_are("x|host=h password=p user=u", "x|host=h password=REDACTED user=u");
	args_are("x|token", "x|token");
	args_are("token|y", "token|y");
	/* a small buffer cuts, within its size */
	n = zeros("abcdefgh|ijklmnopqrst", buf);
	assert_int_equal(clew_resource__args(buf, n, out, sizeof(out)), 15);
	assert_int_equal(strlen(out), 15);
	/* an argument without its end is left out */
	assert_int_equal(clew_resource__args("abc\0def", 7, out, sizeof(out)), 3);
}

static void attribute_lists(void **state)
{
	char v[32];

	(void)state;
	assert_int_equal(clew_resource__attribute("a=1, service.name = my%20shop ,b=2",
						  "service.name", v, sizeof(v)),
			 0);
	assert_string_equal(v, "my shop");
	assert_int_equal(clew_resource__attribute("a=1,b=2", "b", v, sizeof(v)), 0);
	assert_string_equal(v, "2");
	assert_int_equal(clew_resource__attribute("a=%00%zz%4", "a", v, sizeof(v)), 0);
	assert_string_equal(v, "%00%zz%4");
	assert_int_equal(clew_resource__attribute("a=,=b,,=,x", "a", v, sizeof(v)), -ENOENT);
	assert_int_equal(clew_resource__attribute("", "a", v, sizeof(v)), -ENOENT);
}

static const char *get(const char *buf, int n, const char *key)
{
	int at = 0;

	while (at < n) {
		const char *k = buf + at, *v = k + strlen(k) + 1;

		if (!strcmp(k, key))
			return v;
		at = (int)(v + strlen(v) + 1 - buf);
	}
	return "";
}

static void whole(void **state)
{
	char *const argv[] = {"env",
			      "OTEL_SERVICE_NAME=shop",
			      "OTEL_RESOURCE_ATTRIBUTES=service.namespace=ns,service.version=1%2e2,"
			      "service.name=other,team=red,process.pid=1",
			      "sleep",
			      "60",
			      NULL};
	struct clew_config cfg = {.resource_attributes = "team=blue,zone=z1"};
	struct clew_runtime rt = {.kind = CLEW_RT_UNKNOWN, .name = "native"};
	pid_t pid = spawn(argv, 0);
	char buf[4096], again[4096], num[16], id[64];
	struct utsname u;
	int n, i;

	(void)state;
	wait_exec(pid, "sleep");
	n = clew_resource_text__build((uint32_t)pid, &cfg, &rt, buf, sizeof(buf));
	assert_true(n > 0);
	assert_int_equal(buf[n - 1], 0);
	assert_string_equal(buf, "service.name");
	assert_string_equal(get(buf, n, "service.name"), "shop");
	assert_string_equal(get(buf, n, "service.namespace"), "ns");
	assert_string_equal(get(buf, n, "service.version"), "1.2");
	assert_string_equal(get(buf, n, "team"), "red");
	assert_string_equal(get(buf, n, "zone"), "z1");
	snprintf(num, sizeof(num), "%d", (int)pid);
	assert_string_equal(get(buf, n, "process.pid"), num);
	assert_string_equal(get(buf, n, "process.executable.name"), "sleep");
	assert_string_equal(get(buf, n, "process.command_args"), "sleep\x1f"
								 "60");
	assert_string_equal(get(buf, n, "telemetry.sdk.name"), "clew");
	assert_string_equal(get(buf, n, "telemetry.sdk.language"), "cpp");
	assert_string_equal(get(buf, n, "telemetry.sdk.version"), CLEW_VERSION);
	assert_string_equal(get(buf, n, "os.type"), "linux");
	assert_int_equal(uname(&u), 0);
	assert_string_equal(get(buf, n, "host.name"), u.nodename);
	assert_string_equal(get(buf, n, "os.version"), u.release);
	if (!getuid())
		assert_string_equal(get(buf, n, "process.owner"), "root");
	snprintf(id, sizeof(id), "%s", get(buf, n, "service.instance.id"));
	assert_int_equal(strlen(id), 36);
	assert_int_equal(id[14], '8');
	assert_non_null(strchr("89ab", id[19]));
	/* the same process has the same id, another one another */
	assert_int_equal(clew_resource_text__build((uint32_t)pid, &cfg, &rt, again, sizeof(again)),
			 n);
	assert_memory_equal(buf, again, n);
	i = clew_resource_text__build((uint32_t)getpid(), &cfg, &rt, again, sizeof(again));
	assert_true(i > 0);
	assert_string_not_equal(get(again, i, "service.instance.id"), id);
	/* what the operator says wins */
	cfg.service_name = "said";
	n = clew_resource_text__build((uint32_t)pid, &cfg, NULL, buf, sizeof(buf));
	assert_string_equal(get(buf, n, "service.name"), "said");
	/* any room: whole pairs or nothing */
	for (i = 0; i < 600; i++) {
		char *small = malloc((size_t)i + 1);

		n = clew_resource_text__build((uint32_t)pid, &cfg, &rt, small, (size_t)i);
		if (i < 18)
			assert_int_equal(n, -ENOSPC);
		else
			assert_true(n >= 18 && n <= i && !small[n - 1]);
		free(small);
	}
	end(pid);
	assert_int_equal(clew_resource_text__build((uint32_t)pid, &cfg, &rt, buf, sizeof(buf)),
			 -ESRCH);
}

static void fallback_names(void **state)
{
	char *const argv[] = {"sleep", "60", NULL};
	struct clew_runtime rt = {.kind = CLEW_RT_GO, .name = "go", .version = "go1.22.3"};
	pid_t pid = spawn(argv, 0);
	char buf[4096];
	int n;

	(void)state;
	wait_exec(pid, "sleep");
	n = clew_resource_text__build((uint32_t)pid, NULL, &rt, buf, sizeof(buf));
	assert_string_equal(get(buf, n, "service.name"), "sleep");
	assert_string_equal(get(buf, n, "process.runtime.name"), "go");
	assert_string_equal(get(buf, n, "process.runtime.version"), "go1.22.3");
	assert_string_equal(get(buf, n, "telemetry.sdk.language"), "go");
	rt = (struct clew_runtime){.kind = CLEW_RT_NGINX, .name = "nginx"};
	n = clew_resource_text__build((uint32_t)pid, NULL, &rt, buf, sizeof(buf));
	assert_string_equal(get(buf, n, "service.name"), "nginx");
	rt = (struct clew_runtime){.kind = CLEW_RT_PYTHON, .name = "cpython"};
	n = clew_resource_text__build((uint32_t)pid, NULL, &rt, buf, sizeof(buf));
	assert_string_equal(get(buf, n, "service.name"), "unknown_service:sleep");
	end(pid);
}

static void garbage(void **state)
{
	static const char *const exes[] = {"python3", "node", "java", "ruby", "php", "uwsgi"};
	static const char chars[] = "-=:/.@%,mcW[]&? tokenpassword\0\0\0\0\x1f\xff";
	unsigned int seed = 3;
	int round;

	(void)state;
	for (round = 0; round < 20000; round++) {
		size_t n = (size_t)rand_r(&seed) % 60, i, len;
		char *p = malloc(n + 1), out[24], name[8];

		for (i = 0; i < n; i++)
			p[i] = chars[(size_t)rand_r(&seed) % (sizeof(chars) - 1)];
		p[n] = 0;
		clew_resource__script_name(exes[round % 6], p, n, name, sizeof(name));
		len = clew_resource__args(p, n, out, sizeof(out));
		assert_true(len < sizeof(out) && !out[len]);
		clew_resource__attribute(p, "m", name, sizeof(name));
		clew_resource__unit_name(p, name, sizeof(name));
		free(p);
	}
}

/* Its root is its own, and so is the list of users there: one that ends in a number or before it,
 * and nothing.
 */
static void hostile_users(void **state)
{
	static const char *const lines[] = {"x:y:%08188d", "x:%08189d:"};
	char dir[] = "/tmp/clew-users-XXXXXX", etc[64], passwd[80], text[8192];
	struct clew_config cfg = {.service_name = NULL};
	const char *owner;
	int ready[2], len;
	char byte;
	pid_t pid;
	FILE *f;

	(void)state;
	if (geteuid())
		skip();
	assert_non_null(mkdtemp(dir));
	snprintf(etc, sizeof(etc), "%s/etc", dir);
	snprintf(passwd, sizeof(passwd), "%s/passwd", etc);
	assert_int_equal(mkdir(etc, 0755), 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!chroot(dir) && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		f = fopen(passwd, "w");
		assert_non_null(f);
		fprintf(f, lines[i], 4); /* a line as long as the buffer */
		fclose(f);
		len = clew_resource_text__build((uint32_t)pid, &cfg, NULL, text, sizeof(text));
		assert_true(len > 0);
		owner = memmem(text, (size_t)len, "process.owner", 14);
		assert_non_null(owner);
		assert_string_equal(owner + 14, "0");
	}
	end(pid);
	close(ready[0]);
	close(ready[1]);
	unlink(passwd);
	rmdir(etc);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(script_names), cmocka_unit_test(unit_names),
		cmocka_unit_test(secrets),	cmocka_unit_test(attribute_lists),
		cmocka_unit_test(whole),	cmocka_unit_test(fallback_names),
		cmocka_unit_test(garbage),	cmocka_unit_test(hostile_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
