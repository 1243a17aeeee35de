/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "probe/select.h"

#define H16 "0123456789abcdef"
#define H64 H16 H16 H16 H16

static void exe_globs(void **state)
{
	char *v[] = {"python3*", "/opt/*/bin/shop"};
	struct clew_strv globs = {v, 2};

	(void)state;
	assert_true(clew_select__exe_matches(&globs, "/usr/bin/python3.11"));
	assert_true(clew_select__exe_matches(&globs, "/opt/a/b/bin/shop"));
	assert_false(clew_select__exe_matches(&globs, "/usr/bin/perl"));
	assert_false(clew_select__exe_matches(&globs, "/usr/bin/mypython3"));
	assert_false(clew_select__exe_matches(&globs, "/opt/bin/shop2"));
}

static void cgroup_paths(void **state)
{
	static const char v2[] = "0::/system.slice/shop.service/worker\n";
	static const char mixed[] = "9:name=systemd:/a\n4:memory:/app/x\n2:cpu,cpuacct:/b/c\n"
				    "0::/uni/d\n";
	static const char root[] = "0::/\n";

	(void)state;
	assert_true(clew_select__cgroup_matches("/system.slice/shop.service", v2));
	assert_true(clew_select__cgroup_matches("/system.slice/shop.service/", v2));
	assert_true(clew_select__cgroup_matches("/system.slice/shop.service/worker", v2));
	assert_true(clew_select__cgroup_matches("/sys/fs/cgroup/system.slice/shop.service", v2));
	assert_true(clew_select__cgroup_matches("/sys/fs/cgroup/unified/system.slice", v2));
	assert_true(clew_select__cgroup_matches("/sys/fs/cgroup", v2));
	assert_false(clew_select__cgroup_matches("/system.slice/shop", v2));
	assert_false(clew_select__cgroup_matches("/system.slice/shop.service/work", v2));
	assert_false(clew_select__cgroup_matches("/sys/fs/cgroup/shop.service", v2));
	assert_false(clew_select__cgroup_matches("/sys/fs/cgrouped", v2));
	assert_false(clew_select__cgroup_matches("system.slice", v2));
	assert_false(clew_select__cgroup_matches("", v2));
	assert_true(clew_select__cgroup_matches("/sys/fs/cgroup/memory/app", mixed));
	assert_true(clew_select__cgroup_matches("/sys/fs/cgroup/systemd/a", mixed));
	assert_true(clew_select__cgroup_matches("/sys/fs/cgroup/cpu/b", mixed));
	assert_true(clew_select__cgroup_matches("/sys/fs/cgroup/cpuacct/b/c", mixed));
	assert_true(clew_select__cgroup_matches("/sys/fs/cgroup/cpu,cpuacct/b/c", mixed));
	assert_true(clew_select__cgroup_matches("/sys/fs/cgroup/unified/uni", mixed));
	assert_true(clew_select__cgroup_matches("/app", mixed));
	assert_false(clew_select__cgroup_matches("/sys/fs/cgroup/pids/app", mixed));
	assert_false(clew_select__cgroup_matches("/sys/fs/cgroup/memory/b", mixed));
	assert_false(clew_select__cgroup_matches("/sys/fs/cgroup/app/x", mixed));
	assert_true(clew_select__cgroup_matches("/", root));
	assert_false(clew_select__cgroup_matches("/x", root));
	assert_false(clew_select__cgroup_matches("/x", "garbage\n::\n:\n"));
}

static void containers(void **state)
{
	static const char text[] = "0::/system.slice/docker-" H64 ".scope\n";

	(void)state;
	assert_true(clew_select__container_matches("0123456789ab", text));
	assert_true(clew_select__container_matches(H64, text));
	assert_false(clew_select__container_matches("0123456789a", text));  /* too short */
	assert_false(clew_select__container_matches("123456789abc", text)); /* not a prefix */
	assert_false(clew_select__container_matches(H64, "0::/user.slice\n"));
}

struct seen {
	uint32_t pid, other;
	int times, total;
	bool saw_other;
	struct clew_select_match m;
};

static int see(void *arg, const struct clew_select_match *m)
{
	struct seen *s = arg;

	s->total++;
	s->saw_other |= m->pid == s->other;
	if (m->pid == s->pid) {
		s->times++;
		s->m = *m;
	}
	return 0;
}

static int find(const struct clew_selectors *sel, pid_t pid, struct seen *s)
{
	memset(s, 0, sizeof(*s));
	s->pid = (uint32_t)pid;
	assert_int_equal(clew_select__scan(sel, see, s), 0);
	assert_int_equal(s->times != 0, clew_select__match_pid(sel, (uint32_t)pid));
	return s->times;
}

static void by_pid_and_exe(void **state)
{
	char *const argv[] = {"sleep", "60", NULL};
	char *yes[] = {"*/sleep"}, *base[] = {"sle?p"}, *no[] = {"no-such-program"};
	pid_t pid = spawn(argv, 0);
	uint32_t pids[] = {(uint32_t)pid};
	struct clew_selectors sel = {.pids = pids, .nr_pids = 1};
	struct seen s;

	(void)state;
	wait_exec(pid, "sleep");
	assert_int_equal(find(&sel, pid, &s), 1);
	assert_int_equal(s.total, 1);
	assert_int_equal(s.m.why, CLEW_SELECT_PID);
	/* excluded beats everything */
	sel.exclude_exes = (struct clew_strv){base, 1};
	assert_int_equal(find(&sel, pid, &s), 0);
	sel = (struct clew_selectors){.exes = {yes, 1}};
	assert_int_equal(find(&sel, pid, &s), 1);
	assert_int_equal(s.m.why, CLEW_SELECT_EXE);
	sel.exes.v = base;
	assert_int_equal(find(&sel, pid, &s), 1);
	sel.exes.v = no;
	assert_int_equal(find(&sel, pid, &s), 0);
	sel = (struct clew_selectors){.all = true};
	assert_int_equal(find(&sel, pid, &s), 1);
	assert_int_equal(s.m.why, CLEW_SELECT_ALL);
	/* never the asker itself */
	assert_int_equal(find(&sel, getpid(), &s), 0);
	assert_true(s.total > 0);
	memset(&sel, 0, sizeof(sel));
	assert_int_equal(find(&sel, pid, &s), 0);
	end(pid);
}

static int listen_any(int family, uint16_t *ret_port)
{
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in a4 = {.sin_family = AF_INET};
	struct sockaddr_storage got;
	socklen_t len = sizeof(got);
	int s = socket(family, SOCK_STREAM, 0);

	a4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (s < 0 ||
	    bind(s, family == AF_INET ? (struct sockaddr *)&a4 : (struct sockaddr *)&a6,
		 family == AF_INET ? sizeof(a4) : sizeof(a6)) ||
	    listen(s, 1) || getsockname(s, (struct sockaddr *)&got, &len))
		return -1;
	*ret_port = ntohs(((struct sockaddr_in *)&got)->sin_port);
	return s;
}

static void by_port(void **state)
{
	char *const argv[] = {"sleep", "60", NULL};
	uint16_t port[2], wanted;
	int family[2] = {AF_INET, AF_INET6}, i, s;
	struct clew_selectors sel = {.ports = &wanted, .nr_ports = 1};
	struct seen seen;
	pid_t holder, other;

	(void)state;
	for (i = 0; i < 2; i++) {
		s = listen_any(family[i], &port[i]);
		if (s < 0 && family[i] == AF_INET6)
			continue; /* no IPv6 here */
		assert_true(s >= 0);
		holder = spawn(argv, 0); /* inherits the socket */
		wait_exec(holder, "sleep");
		close(s);
		other = spawn(argv, 0);
		wait_exec(other, "sleep");
		wanted = port[i];
		assert_int_equal(find(&sel, holder, &seen), 1);
		assert_int_equal(seen.total, 1);
		assert_int_equal(seen.m.why, CLEW_SELECT_PORT);
		assert_int_equal(seen.m.port, port[i]);
		assert_int_equal(find(&sel, other, &seen), 0);
		end(holder);
		assert_int_equal(find(&sel, other, &seen), 0);
		assert_int_equal(seen.total, 0);
		end(other);
	}
}

/* A connection on the port is not a listener on it. */
static void connection_only(void **state)
{
	char *const argv[] = {"sleep", "60", NULL};
	struct sockaddr_in a = {.sin_family = AF_INET};
	uint16_t port;
	struct clew_selectors sel = {.ports = &port, .nr_ports = 1};
	int s = listen_any(AF_INET, &port), c, accepted;
	struct seen seen;
	pid_t pid;

	(void)state;
	assert_true(s >= 0);
	fcntl(s, F_SETFD, FD_CLOEXEC);
	a.sin_port = htons(port);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(c, (struct sockaddr *)&a, sizeof(a)), 0);
	accepted = accept(s, NULL, NULL);
	assert_true(accepted >= 0);
	pid = spawn(argv, 0); /* inherits `accepted` alone */
	wait_exec(pid, "sleep");
	assert_int_equal(find(&sel, pid, &seen), 0);
	end(pid);
	close(accepted);
	close(c);
	close(s);
}

static void by_cgroup(void **state)
{
	char *const argv[] = {"sleep", "60", NULL};
	char text[4096], *line, *v[1];
	struct clew_selectors sel = {.cgroups = {v, 1}};
	pid_t pid = spawn(argv, 0);
	struct seen s;
	FILE *f;

	(void)state;
	wait_exec(pid, "sleep");
	snprintf(text, sizeof(text), "/proc/%d/cgroup", (int)pid);
	f = fopen(text, "r");
	assert_non_null(f);
	line = fgets(text, sizeof(text), f);
	fclose(f);
	if (!line) {
		end(pid);
		skip();
	}
	text[strcspn(text, "\n")] = 0;
	v[0] = strchr(strchr(text, ':') + 1, ':') + 1;
	assert_int_equal(find(&sel, pid, &s), 1);
	assert_int_equal(s.m.why, CLEW_SELECT_CGROUP);
	v[0] = "/no/such/group";
	assert_int_equal(find(&sel, pid, &s), 0);
	end(pid);
}

struct said {
	int fatal, warn;
	char last[128];
};

static void say(void *arg, bool fatal, const char *text)
{
	struct said *s = arg;

	s->fatal += fatal;
	s->warn += !fatal;
	snprintf(s->last, sizeof(s->last), "%s", text);
}

static void odd_selectors(void **state)
{
	char *const argv[] = {"true", NULL};
	uint32_t pid = (uint32_t)spawn(argv, 0);
	char want[64], *short_id[] = {"0123abcd"};
	struct clew_selectors sel = {.pids = &pid, .nr_pids = 1};
	struct said said = {0};
	uint16_t port;
	int s;

	(void)state;
	waitpid((pid_t)pid, NULL, 0);
	assert_int_equal(clew_select__check(&sel, say, &said), 1);
	snprintf(want, sizeof(want), "pid %u does not exist", pid);
	assert_string_equal(said.last, want);
	pid = (uint32_t)getpid();
	assert_int_equal(clew_select__check(&sel, say, &said), 1);
	assert_non_null(strstr(said.last, "itself"));
	pid = (uint32_t)getppid();
	assert_int_equal(clew_select__check(&sel, say, &said), 0);
	s = listen_any(AF_INET, &port);
	sel = (struct clew_selectors){.ports = &port, .nr_ports = 1};
	memset(&said, 0, sizeof(said));
	assert_int_equal(clew_select__check(&sel, say, &said), 0);
	assert_int_equal(said.warn, 0);
	close(s);
	assert_int_equal(clew_select__check(&sel, say, &said), 0);
	assert_int_equal(said.warn, 1);
	assert_non_null(strstr(said.last, "nobody listens on port"));
	sel = (struct clew_selectors){.containers = {short_id, 1}};
	assert_int_equal(clew_select__check(&sel, say, &said), 1);
}

static int stop(void *arg, const struct clew_select_match *m)
{
	(void)m;
	++*(int *)arg;
	return 42;
}

static void callback_ends_it(void **state)
{
	struct clew_selectors sel = {.all = true};
	int calls = 0;

	(void)state;
	assert_int_equal(clew_select__scan(&sel, stop, &calls), 42);
	assert_int_equal(calls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exe_globs),	    cmocka_unit_test(cgroup_paths),
		cmocka_unit_test(containers),	    cmocka_unit_test(by_pid_and_exe),
		cmocka_unit_test(by_port),	    cmocka_unit_test(connection_only),
		cmocka_unit_test(by_cgroup),	    cmocka_unit_test(odd_selectors),
		cmocka_unit_test(callback_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
