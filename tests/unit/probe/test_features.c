/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be asked without rights: the parsers, that the table is whole, that answers are kept,
 * and that without rights the verdict is no and says what is missing. The verdict on a process
 * is asked of this one's children.
 */
#include "spawn.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <clew/config.h>

#include "probe/features.h"
#include "probe/verdict.h"

static struct clew_config *defaults(void)
{
	char errbuf[256];
	struct clew_config *cfg = NULL;
	char *none[] = {NULL};

	assert_int_equal(clew_config__load(0, none, "doctor", &cfg, errbuf, sizeof(errbuf)), 0);
	return cfg;
}

static void lockdown(void **state)
{
	(void)state;
	assert_int_equal(clew_features__parse_lockdown("[none] integrity confidentiality\n"), 0);
	assert_int_equal(clew_features__parse_lockdown("none [integrity] confidentiality\n"), 1);
	assert_int_equal(clew_features__parse_lockdown("none integrity [confidentiality]\n"), 2);
	assert_int_equal(clew_features__parse_lockdown(""), -EBADMSG);
	assert_int_equal(clew_features__parse_lockdown("none integrity"), -EBADMSG);
}

static void status(void **state)
{
	static const char text[] = "Name:\tSeccomp: 7\nSeccomp_filters:\t3\nSeccomp:\t2\nX:\t\n";

	(void)state;
	assert_int_equal(clew_features__parse_status(text, "Seccomp"), 2);
	assert_int_equal(clew_features__parse_status(text, "Seccomp_filters"), 3);
	assert_int_equal(clew_features__parse_status(text, "X"), -ENOENT);
	assert_int_equal(clew_features__parse_status("X:\n5", "X"), -ENOENT);
	assert_int_equal(clew_features__parse_status(text, "Name"), -ENOENT);
	assert_int_equal(clew_features__parse_status("", "Seccomp"), -ENOENT);
	assert_int_equal(clew_features__parse_status("Seccomp", "Seccomp"), -ENOENT);
	assert_int_equal(clew_features__parse_status("Seccomp:", "Seccomp"), -ENOENT);
	assert_int_equal(clew_features__parse_status("Seccomp:\t-1\n", "Seccomp"), -ENOENT);
}

static void uid_map(void **state)
{
	(void)state;
	assert_true(clew_features__is_whole_uid_map("         0          0 4294967295\n"));
	assert_false(clew_features__is_whole_uid_map("0 1000 1\n"));
	assert_false(clew_features__is_whole_uid_map("0 100000 4294967295\n"));
	assert_false(clew_features__is_whole_uid_map("0 0\n"));
	assert_false(clew_features__is_whole_uid_map(""));
}

static int unix_of(const char *line, uint64_t *inode, bool *listens, bool *open)
{
	return clew_verdict__parse_unix(line, strlen(line), inode, listens, open);
}

static void unix_line(void **state)
{
	uint64_t inode = 0;
	bool listens, open;

	(void)state;
	assert_int_equal(unix_of("ffff8880: 00000002 00000000 00010000 0001 01 4711 /run/a b",
				 &inode, &listens, &open),
			 0);
	assert_int_equal(inode, 4711);
	assert_true(listens);
	assert_false(open);
	assert_int_equal(
		unix_of("00000000: 00000003 00000000 00000000 0001 03 9", &inode, &listens, &open),
		0);
	assert_int_equal(inode, 9);
	assert_false(listens);
	assert_true(open);
	assert_int_equal(
		unix_of("0000: 00000003 00000000 00000000 0002 01 9", &inode, &listens, &open),
		-ENOENT); /* datagrams */
	assert_int_equal(unix_of("Num       RefCount Protocol Flags    Type St Inode Path", &inode,
				 &listens, &open),
			 -EBADMSG);
	assert_int_equal(unix_of("", &inode, &listens, &open), -EBADMSG);
}

static void table_is_whole(void **state)
{
	(void)state;
	for (int i = 0; i < CLEW_FEATURE_MAX; i++) {
		assert_non_null(clew_feature__name(i));
		assert_true(strlen(clew_feature__name(i)) <= 22); /* the column */
		assert_non_null(clew_feature__purpose(i));
		assert_in_range(clew_feature__need(i), 0, CLEW_NEED_MAX - 1);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(clew_feature__name(i), clew_feature__name(k));
	}
	for (int i = CLEW_SITE_NONE + 1; i < CLEW_SITE_MAX; i++) {
		assert_non_null(clew_site__info(i)->name);
		assert_non_null(clew_site__info(i)->program);
		assert_in_range(clew_site__info(i)->set, 0, CLEW_SET_MAX);
	}
	assert_non_null(clew_site__info(CLEW_SITE_MAX)->name);
	for (int i = 0; i <= CLEW_SET_MAX; i++) {
		assert_non_null(clew_set__info(i)->name);
		assert_non_null(clew_set__info(i)->when);
	}
	assert_string_equal(clew_verdict__insn_name(CLEW_INSN_REFUSED), "refused");
}

/* Every feature answers with a word, the same one when asked again. Runs in a child. */
static int ask_all(void)
{
	struct clew_config *cfg = defaults();
	struct clew_features *f = clew_features__new(cfg);
	const char *text, *again;
	char why[512] = "";
	int bad = 0;

	for (int i = 0; i < CLEW_FEATURE_MAX; i++) {
		enum clew_answer answer = clew_features__ask(f, i, &text);

		bad |= answer == CLEW_ANSWER_UNASKED || !text[0];
		bad |= clew_features__ask(f, i, &again) != answer || again != text;
	}
	/* without rights */
	bad |= clew_features__can_run(f, why, sizeof(why)) ? 2 : 0;
	bad |= strstr(why, "CAP_BPF") ? 0 : 4;
	bad |= clew_features__layer(f) ? 8 : 0;
	bad |= clew_features__ask(f, CLEW_FEATURE_CAP_BPF, NULL) == CLEW_ANSWER_NO ? 0 : 16;
	bad |= clew_features__ask(f, CLEW_FEATURE_LAYER_RAWTP, NULL) == CLEW_ANSWER_YES ? 32 : 0;
	clew_features__free(f);
	clew_config__free(cfg);
	return bad;
}

static void without_rights(void **state)
{
	pid_t pid;
	int st;

	(void)state;
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		skip(); /* the first reason is then another one */
	pid = fork();
	if (!pid) {
		if (!geteuid() && (setgid(65534) || setuid(65534)))
			_exit(64);
		_exit(ask_all());
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), 0);
}

/*
 * An answer is kept: a seccomp filter (that allows everything) which comes after the question
 * changes nothing for who asked, and is seen by who asks anew. Runs in a child.
 */
static int ask_twice(void)
{
	struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog prog = {1, allow};
	struct clew_config *cfg = defaults();
	struct clew_features *f = clew_features__new(cfg), *g;
	enum clew_answer before = clew_features__ask(f, CLEW_FEATURE_SECCOMP, NULL), after, anew;

	if (before == CLEW_ANSWER_NO)
		return 0; /* a filter is in force already */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return 1;
	after = clew_features__ask(f, CLEW_FEATURE_SECCOMP, NULL);
	g = clew_features__new(cfg);
	anew = clew_features__ask(g, CLEW_FEATURE_SECCOMP, NULL);
	clew_features__free(f);
	clew_features__free(g);
	clew_config__free(cfg);
	return (after != before) * 2 + (anew != CLEW_ANSWER_NO) * 4;
}

static void answers_are_kept(void **state)
{
	pid_t pid = fork();
	int st;

	(void)state;
	if (!pid)
		_exit(ask_twice());
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), 0);
}

static void judge(struct clew_config *cfg, pid_t pid, struct clew_verdict *v)
{
	struct clew_select_match by = {(uint32_t)pid, CLEW_SELECT_PID, 0};

	clew_verdict__judge(NULL, cfg, &by, v);
}

static void verdicts(void **state)
{
	struct clew_config *cfg = defaults();
	struct clew_verdict v;
	pid_t pid;

	(void)state;
	judge(cfg, getpid(), &v);
	assert_false(v.traced);
	assert_non_null(strstr(v.reason, "clew itself"));

	pid = spawn((char *[]){"sleep", "60", NULL}, 0);
	wait_exec(pid, "sleep");
	judge(cfg, pid, &v);
	assert_true(v.traced);
	assert_true(v.examined);
	assert_string_equal(v.comm, "sleep");
	assert_true(v.sockets_known);
	assert_int_equal(v.nr_ports + v.tcp_open + v.unix_open, 0);
	assert_false(v.other_pidns);

	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT);
	judge(cfg, pid, &v);
	assert_false(v.traced);
	assert_non_null(strstr(v.reason, "has ended"));
	end(pid);
	judge(cfg, pid, &v);
	assert_false(v.traced);
	assert_non_null(strstr(v.reason, "does not exist"));
	clew_config__free(cfg);
}

/* Two listeners on one port number (two addresses), one connection: counted in a child that holds
 * them. */
static void sockets(void **state)
{
	struct clew_config *cfg = defaults();
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t n = sizeof(a);
	struct clew_verdict v;
	int first = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0), pair[2];
	pid_t pid;

	(void)state;
	assert_int_equal(bind(first, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(first, 1), 0);
	assert_int_equal(getsockname(first, (void *)&a, &n), 0);
	assert_int_equal(connect(client, (void *)&a, sizeof(a)), 0);
	a.sin_addr.s_addr = htonl(0x7f000002);
	assert_int_equal(bind(second, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(second, 1), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid = spawn((char *[]){"sleep", "60", NULL}, 0); /* inherits them */
	wait_exec(pid, "sleep");
	judge(cfg, pid, &v);
	end(pid);
	assert_true(v.sockets_known);
	assert_int_equal(v.nr_ports, 1);
	assert_int_equal(v.ports[0], ntohs(a.sin_port));
	assert_int_equal(v.tcp_open, 1);
	assert_int_equal(v.unix_open, 2);
	assert_int_equal(v.unix_listen, 0);
	close(first);
	close(second);
	close(client);
	close(pair[0]);
	close(pair[1]);
	clew_config__free(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lockdown),	    cmocka_unit_test(status),
		cmocka_unit_test(uid_map),	    cmocka_unit_test(unix_line),
		cmocka_unit_test(table_is_whole),   cmocka_unit_test(without_rights),
		cmocka_unit_test(answers_are_kept), cmocka_unit_test(verdicts),
		cmocka_unit_test(sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
