/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include <time.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "probe/procfs.h"

static int stat_of(const char *s, struct clew_proc_stat *st)
{
	return clew_procfs__parse_stat(s, strlen(s), st);
}

static void stat_line(void **state)
{
	struct clew_proc_stat st;

	(void)state;
	assert_int_equal(stat_of("12 (a) b (c)) S 7 1 1 0 -1 2097152 1 2 3 4 5 6 7 8 20 0 1 0 "
				 "987654 1 2\n",
				 &st),
			 0);
	assert_string_equal(st.comm, "a) b (c)");
	assert_int_equal(st.ppid, 7);
	assert_int_equal(st.state, 'S');
	assert_int_equal(st.start_time, 987654);
	assert_true(clew_procfs__is_kthread(&st));
	assert_int_equal(stat_of("12 (x) S 7 1 1", &st), -EBADMSG);
	assert_int_equal(stat_of("", &st), -EBADMSG);
	assert_int_equal(stat_of(")(", &st), -EBADMSG);
	assert_int_equal(stat_of("1 (x)", &st), -EBADMSG);
	assert_int_equal(stat_of("1 (x) S a b c", &st), -EBADMSG);
}

static int map_of(const char *s, struct clew_map *m)
{
	return clew_procfs__parse_map(s, strlen(s), m);
}

static void map_line(void **state)
{
	struct clew_map m;

	(void)state;
	assert_int_equal(map_of("7f00-7fff r-xp 00001000 fd:01 123456                     "
				"/usr/lib/a b.so (deleted)",
				&m),
			 0);
	assert_int_equal(m.start, 0x7f00);
	assert_int_equal(m.end, 0x7fff);
	assert_int_equal(m.pgoff, 0x1000);
	assert_int_equal(m.ino, 123456);
	assert_int_equal(m.dev_major, 0xfd);
	assert_true(m.exec);
	assert_true(m.deleted);
	assert_string_equal(m.path, "/usr/lib/a b.so");
	assert_int_equal(map_of("7f00-7fff rw-p 00000000 00:00 0 ", &m), 0);
	assert_string_equal(m.path, "");
	assert_false(m.exec);
	assert_int_equal(map_of("1-2 r--p 0 0:0 5 /a\\012b", &m), 0);
	assert_string_equal(m.path, "/a\nb");
	assert_int_equal(map_of("7fff-7f00 r-xp 0 fd:01 1 /x", &m), -EBADMSG);
	assert_int_equal(map_of("", &m), -EBADMSG);
	assert_int_equal(map_of("1-2", &m), -EBADMSG);
	assert_int_equal(map_of("1-2 r-x", &m), -EBADMSG);
	assert_int_equal(map_of("zz-2 r-xp 0 0:0 1 /x", &m), -EBADMSG);
	assert_int_equal(map_of("11111111111111111-2 r-xp 0 0:0 1 /x", &m), -EBADMSG);
}

static int tcp_of(const char *s, struct clew_tcp_line *t)
{
	return clew_procfs__parse_tcp(s, strlen(s), t);
}

static void tcp_line(void **state)
{
	struct clew_tcp_line t;

	(void)state;
	assert_int_equal(tcp_of("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 "
				"00:00000000 00000000     0        0 424242 1 0000000000000000 100",
				&t),
			 0);
	assert_int_equal(t.local_port, 8080);
	assert_int_equal(t.state, 10);
	assert_int_equal(t.inode, 424242);
	assert_int_equal(tcp_of("  12: 00000000000000000000000001000000:0050 "
				"00000000000000000000000000000000:0000 0A 00000000:00000000 "
				"00:00000000 00000000  1000        0 7 1 0 100",
				&t),
			 0);
	assert_int_equal(t.local_port, 80);
	assert_int_equal(t.inode, 7);
	assert_int_equal(tcp_of("  sl  local_address rem_address   st tx_queue", &t), -EBADMSG);
	assert_int_equal(tcp_of("0: 0:1FFFF 0:0 0A", &t), -EBADMSG);
	assert_int_equal(tcp_of("0:", &t), -EBADMSG);
	assert_int_equal(tcp_of("0: 0:1F90 0:0 0A", &t), -EBADMSG);
}

#define H16 "0123456789abcdef"
#define H64 H16 H16 H16 H16

static void container_shapes(void **state)
{
	static const char *const same[] = {
		"0::/docker/" H64 "\n",
		"0::/system.slice/docker-" H64 ".scope\n",
		"12:pids:/docker/" H64 "\n0::/\n",
		"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx.slice/"
		"cri-containerd-" H64 ".scope\n",
		"0::/kubepods/besteffort/pod12-34/" H64 "\n",
		"0::/kubepods.slice/crio-" H64 ".scope\n",
		"0::/machine.slice/libpod-" H64 ".scope/container\n",
		"0::/system.slice/containerd.service/kubepods-x.slice:cri-containerd:" H64 "\n",
		"0::/docker/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"
		"docker/" H64 "\n",
	};
	char id[CLEW_CONTAINER_ID];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(clew_procfs__parse_container(same[i], strlen(same[i]), id), 0);
		assert_string_equal(id, H64);
	}
	assert_int_equal(clew_procfs__parse_container(
				 "0::/ecs/" H16 H16 "/" H16 H16 "-1234567890\n", 86, id),
			 0);
	assert_string_equal(id, H16 H16 "-1234567890");
	assert_int_equal(clew_procfs__parse_container("0::/user.slice/session-1.scope\n", 31, id),
			 -ENOENT);
	assert_int_equal(clew_procfs__parse_container("0::/docker/" H64 "0\n", 77, id), -ENOENT);
	assert_int_equal(clew_procfs__parse_container(
				 "0::/machine.slice/libpod-conmon-" H64 ".scope\n", 103, id),
			 -ENOENT);
	assert_int_equal(clew_procfs__parse_container("", 0, id), -ENOENT);
}

static void environment(void **state)
{
	static const char env[] = "A=1\0AB=two\0EMPTY=\0NOEQ\0CUT=x";

	(void)state;
	assert_string_equal(clew_procfs__parse_env(env, sizeof(env), "A"), "1");
	assert_string_equal(clew_procfs__parse_env(env, sizeof(env), "AB"), "two");
	assert_string_equal(clew_procfs__parse_env(env, sizeof(env), "EMPTY"), "");
	assert_null(clew_procfs__parse_env(env, sizeof(env), "NOEQ"));
	assert_null(clew_procfs__parse_env(env, sizeof(env), "B"));
	/* the last one has no NUL within the length: it was cut */
	assert_null(clew_procfs__parse_env(env, sizeof(env) - 1, "CUT"));
}

/* Every prefix and a lot of noise: nothing may be read past its end (ASan watches). */
static void garbage(void **state)
{
	static const char line[] = "7f00-7fff r-xp 00001000 fd:01 123456 /usr/lib/a.so (deleted)";
	unsigned int seed = 7;
	int round;

	(void)state;
	for (round = 0; round < 20000; round++) {
		size_t n = (size_t)rand_r(&seed) % 90, i;
		char *p = malloc(n ? n : 1), id[CLEW_CONTAINER_ID];
		struct clew_proc_stat st;
		struct clew_tcp_line t;
		struct clew_map m;

		for (i = 0; i < n; i++)
			p[i] = rand_r(&seed) % 3 ? line[(i + (size_t)round) % (sizeof(line) - 1)]
						 : (char)rand_r(&seed);
		clew_procfs__parse_stat(p, n, &st);
		clew_procfs__parse_map(p, n, &m);
		clew_procfs__parse_tcp(p, n, &t);
		clew_procfs__parse_container(p, n, id);
		clew_procfs__parse_env(p, n, "r");
		free(p);
	}
}

struct found {
	uint64_t want;
	int times;
};

static int see_number(void *arg, uint32_t n)
{
	struct found *f = arg;

	f->times += n == f->want;
	return 0;
}

static int see_inode(void *arg, uint64_t n)
{
	struct found *f = arg;

	f->times += n == f->want;
	return 0;
}

static int see_tcp(void *arg, const struct clew_tcp_line *t)
{
	struct found *f = arg;

	if (t->local_port != f->want || t->state != 10)
		return 0;
	f->want = t->inode;
	f->times = 1;
	return 1;
}

static void myself(void **state)
{
	struct found f = {.want = (uint64_t)getpid()};
	struct sockaddr_in a = {.sin_family = AF_INET};
	uint32_t me = (uint32_t)getpid(), v;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(a);
	struct clew_proc_stat st;
	char buf[8];
	uint64_t ns;

	(void)state;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s, 1), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(clew_procfs__stat(me, &st), 0);
	assert_int_equal(st.ppid, getppid());
	assert_false(clew_procfs__is_kthread(&st));
	assert_int_equal(clew_procfs__uid(me, &v), 0);
	assert_int_equal(v, getuid());
	assert_int_equal(clew_procfs__nspid(me, &v), 0);
	assert_int_equal(clew_procfs__netns(me, &ns), 0);
	assert_true(ns > 0);
	assert_int_equal(clew_procfs__each_pid(see_number, &f), 0);
	assert_int_equal(f.times, 1);
	f.times = 0;
	assert_int_equal(clew_procfs__each_thread(me, see_number, &f), 0);
	assert_int_equal(f.times, 1);
	f = (struct found){.want = ntohs(a.sin_port)};
	assert_int_equal(clew_procfs__each_tcp(me, see_tcp, &f), 1);
	f.times = 0;
	assert_int_equal(clew_procfs__each_socket(me, see_inode, &f), 0);
	assert_int_equal(f.times, 1);
	/* a small buffer cuts, and is ended */
	assert_int_equal(clew_procfs__read(me, "stat", buf, sizeof(buf)), sizeof(buf) - 1);
	assert_int_equal(buf[sizeof(buf) - 1], 0);
	close(s);
}

static void vanished(void **state)
{
	char buf[64], *const argv[] = {"true", NULL};
	uint32_t pid = (uint32_t)spawn(argv, 0), v;
	struct clew_proc_stat st;
	struct found f = {0};
	uint64_t ns;

	(void)state;
	waitpid((pid_t)pid, NULL, 0);
	assert_int_equal(clew_procfs__stat(pid, &st), -ESRCH);
	assert_int_equal(clew_procfs__read(pid, "maps", buf, sizeof(buf)), -ESRCH);
	assert_int_equal(clew_procfs__exe(pid, buf, sizeof(buf)), -ESRCH);
	assert_int_equal(clew_procfs__netns(pid, &ns), -ESRCH);
	assert_int_equal(clew_procfs__uid(pid, &v), -ESRCH);
	assert_int_equal(clew_procfs__each_socket(pid, see_inode, &f), -ESRCH);
	assert_int_equal(clew_procfs__each_thread(pid, see_number, &f), -ESRCH);
	assert_int_equal(clew_procfs__open_exe(pid, buf, sizeof(buf)), -ESRCH);
	assert_int_equal(clew_procfs__open_mem(pid), -ESRCH);
	assert_int_equal(clew_procfs__open_in_root(pid, "/etc/passwd"), -ESRCH);
}

struct want_map {
	const char *path;
	struct clew_map map;
};

static int see_map(void *arg, const struct clew_map *m)
{
	struct want_map *w = arg;

	if (strcmp(m->path, w->path))
		return 0;
	w->map = *m;
	return 1;
}

/* A mapped file that was deleted meanwhile is still opened, and it is the same one. */
static void deleted_map(void **state)
{
	char name[] = "/tmp/clew-map-XXXXXX", path[128], text[4];
	struct want_map w = {.path = name};
	int fd = mkstemp(name), again;
	struct stat a, b;
	void *p;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "abc", 3), 3);
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(p != MAP_FAILED);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(clew_procfs__each_map((uint32_t)getpid(), see_map, &w), 1);
	assert_true(w.map.deleted);
	again = clew_procfs__open_map((uint32_t)getpid(), &w.map, path, sizeof(path));
	if (again == -EPERM || again == -EACCES)
		skip(); /* map_files needs a capability */
	assert_true(again >= 0);
	assert_int_equal(fstat(fd, &a) | fstat(again, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(read(again, text, 3), 3);
	assert_memory_equal(text, "abc", 3);
	munmap(p, 4096);
	close(fd);
	close(again);
}

static void only_regular_files(void **state)
{
	char fifo[] = "/tmp/clew-fifo-XXXXXX";
	int fd;

	(void)state;
	assert_non_null(mkdtemp(fifo));
	rmdir(fifo);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(clew_procfs__open_in_root((uint32_t)getpid(), fifo), -EBADMSG);
	assert_int_equal(clew_procfs__open_in_root((uint32_t)getpid(), "/dev/null"), -EBADMSG);
	unlink(fifo);
	fd = clew_procfs__open_in_root((uint32_t)getpid(), "/proc/self/../../etc/passwd");
	assert_true(fd >= 0);
	close(fd);
}

static int count_line(void *arg, const char *line, size_t n)
{
	size_t *longest = arg;

	(void)line;
	if (n > *longest)
		*longest = n;
	return 0;
}

/* A file of a process's own, as its /etc/passwd, that claims 64 GB. */
static void endless_lines(void **state)
{
	int fd = memfd_create("lines", MFD_CLOEXEC);
	struct timespec from, to;
	size_t longest = 0;

	(void)state;
	assert_int_equal(ftruncate(fd, 1LL << 36), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	assert_int_equal(clew_procfs__each_line_of(fd, count_line, &longest), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_true(to.tv_sec - from.tv_sec < 4);
	close(fd);
}

static void long_lines(void **state)
{
	int fd = (int)syscall(SYS_memfd_create, "lines", 0), i;
	size_t longest = 0;

	(void)state;
	for (i = 0; i < 3000; i++)
		assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(write(fd, "\nab\ncd", 6), 6);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(clew_procfs__each_line_of(fd, count_line, &longest), 0);
	assert_int_equal(longest, 8192);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_line),   cmocka_unit_test(map_line),
		cmocka_unit_test(tcp_line),    cmocka_unit_test(container_shapes),
		cmocka_unit_test(environment), cmocka_unit_test(garbage),
		cmocka_unit_test(myself),      cmocka_unit_test(vanished),
		cmocka_unit_test(deleted_map), cmocka_unit_test(only_regular_files),
		cmocka_unit_test(long_lines),  cmocka_unit_test(endless_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
