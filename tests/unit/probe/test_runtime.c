/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <glob.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "probe/go_runtime.h"
#include "probe/node_runtime.h"
#include "probe/runtime.h"

static char dir[] = "/tmp/clew-runtime-XXXXXX";

static const struct clew_uprobe_site *site(const struct clew_runtime *rt, enum clew_site_kind kind)
{
	uint32_t i;

	for (i = 0; i < rt->nr_sites; i++)
		if (rt->sites[i].kind == kind)
			return &rt->sites[i];
	return NULL;
}

static void discover(pid_t pid, struct clew_runtime *rt)
{
	uint32_t i;

	memset(rt, 0, sizeof(*rt));
	assert_int_equal(clew_runtime__discover(NULL, (uint32_t)pid, rt), 0);
	/* every site can be opened from here, and is the file that it says it is */
	for (i = 0; i < rt->nr_sites; i++) {
		struct stat st;

		assert_int_equal(stat(rt->sites[i].path, &st), 0);
		assert_int_equal(st.st_dev, rt->sites[i].dev);
		assert_int_equal(st.st_ino, rt->sites[i].ino);
		assert_true(rt->sites[i].off > 0 && rt->sites[i].off < (uint64_t)st.st_size);
		assert_int_not_equal(rt->sites[i].insn, CLEW_INSN_UNKNOWN);
	}
}

static void native(void **state)
{
	char *const argv[] = {"sleep", "60", NULL};
	pid_t pid = spawn(argv, 0);
	struct clew_runtime rt;

	(void)state;
	wait_exec(pid, "sleep");
	discover(pid, &rt);
	assert_int_equal(rt.kind, CLEW_RT_UNKNOWN);
	assert_string_equal(rt.name, "native");
	assert_string_equal(rt.why, "");
	assert_int_equal(rt.nr_sites, 0);
	assert_int_equal(clew_runtime__refresh(NULL, (uint32_t)pid, &rt), 0);
	end(pid);
	assert_int_equal(clew_runtime__refresh(NULL, (uint32_t)pid, &rt), -ESRCH);
	assert_int_equal(clew_runtime__discover(NULL, (uint32_t)pid, &rt), -ESRCH);
}

static void python_with(const char *exe, int minor)
{
	char *const argv[] = {(char *)exe, "-c",
			      "import asyncio,sys,contextvars\n"
			      "async def main():\n"
			      "    print(1, flush=True)\n"
			      "    await asyncio.sleep(60)\n"
			      "asyncio.run(main())",
			      NULL};
	pid_t pid = spawn(argv, 1);
	struct clew_runtime rt;
	char start[8];

	assert_true(pid > 0);
	discover(pid, &rt);
	assert_int_equal(rt.kind, CLEW_RT_PYTHON);
	assert_string_equal(rt.name, "cpython");
	assert_string_equal(rt.why, "");
	snprintf(start, sizeof(start), "3.%d", minor);
	assert_int_equal(strncmp(rt.version, start, strlen(start)), 0);
	/* discovery has proved the key, S and the context's offset in the live process */
	assert_true(rt.entry.py_specific > 0);
	assert_true(rt.entry.py_ctx > 0 && rt.entry.py_task_ctx > 0);
	assert_non_null(site(&rt, CLEW_SITE_PY_COPY));
	assert_non_null(site(&rt, CLEW_SITE_PY_TASK_INIT));
	assert_true(rt.pending); /* for uvloop */
	end(pid);
}

static void python(void **state)
{
	static const struct {
		const char *version;
		int minor;
	} rows[] = {{"3.7.16", 7},  {"3.8.18", 8},  {"3.9.18", 9}, {"3.10.13", 10},
		    {"3.11.7", 11}, {"3.12.1", 12}, {"3.13.0", 13}};
	char path[256], *home = getenv("HOME");
	size_t i;
	int ran = 0;

	(void)state;
	if (!access("/usr/bin/python3.11", X_OK)) {
		python_with("/usr/bin/python3.11", 11);
		ran++;
	}
	for (i = 0; home && i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "%s/.pyenv/versions/%s/bin/python3", home,
			 rows[i].version);
		if (access(path, X_OK))
			continue;
		python_with(path, rows[i].minor);
		ran++;
	}
	if (!ran)
		skip();
}

/* asyncio comes later: the discovery says so, and refresh finds it. */
static void python_later(void **state)
{
	char flag[128], code[512];
	char *const argv[] = {"/usr/bin/python3", "-c", code, NULL};
	struct clew_runtime rt;
	int i, got = 0;
	pid_t pid;

	(void)state;
	if (access(argv[0], X_OK))
		skip();
	snprintf(flag, sizeof(flag), "%s/go-on", dir);
	snprintf(code, sizeof(code),
		 "import os,time\nprint(1, flush=True)\n"
		 "while not os.path.exists('%s'): time.sleep(.02)\n"
		 "import _asyncio\ntime.sleep(60)",
		 flag);
	pid = spawn(argv, 1);
	discover(pid, &rt);
	assert_int_equal(rt.kind, CLEW_RT_PYTHON);
	assert_true(rt.pending);
	assert_true(rt.entry.py_ctx > 0);
	assert_null(site(&rt, CLEW_SITE_PY_TASK_INIT));
	assert_int_equal(clew_runtime__refresh(NULL, (uint32_t)pid, &rt), 0);
	close(open(flag, O_CREAT | O_WRONLY, 0600));
	for (i = 0; i < 200 && !got; i++) {
		usleep(20000);
		got = clew_runtime__refresh(NULL, (uint32_t)pid, &rt);
	}
	assert_int_equal(got, 1);
	assert_true(rt.pending); /* for uvloop */
	assert_non_null(site(&rt, CLEW_SITE_PY_TASK_INIT));
	end(pid);
}

static const char go_source[] =
	"package main\n"
	"import (\"fmt\"; \"net/http\"; \"os\"; \"time\")\n"
	"func main() {\n"
	"	http.HandleFunc(\"/\", func(w http.ResponseWriter, r *http.Request) {\n"
	"		resp, err := http.Get(os.Args[1])\n"
	"		if err == nil { resp.Body.Close() }\n"
	"	})\n"
	"	fmt.Println(1)\n"
	"	if len(os.Args) > 2 { http.ListenAndServe(\"127.0.0.1:0\", nil) }\n"
	"	time.Sleep(time.Minute)\n"
	"}\n";

static int go_build(const char *out, const char *cgo, const char *ldflags, const char *mode)
{
	char src[128];
	char *argv[] = {"env",
			"GOFLAGS=-buildvcs=false",
			(char *)cgo,
			"GOTOOLCHAIN=local",
			"go",
			"build",
			(char *)ldflags,
			(char *)mode,
			"-o",
			(char *)out,
			src,
			NULL};
	FILE *f;

	snprintf(src, sizeof(src), "%s/main.go", dir);
	f = fopen(src, "w");
	if (!f)
		return -1;
	fputs(go_source, f);
	fclose(f);
	return run(argv);
}

/* Two bytes of its memory as it runs: also where a position-independent program was put. */
static uint16_t word_at(pid_t pid, uint64_t addr)
{
	char path[64];
	uint16_t word = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &word, sizeof(word), (off_t)addr), sizeof(word));
	close(fd);
	return word;
}

static void go_check(const char *exe, bool with_itab, uint64_t *offs)
{
	char *const argv[] = {(char *)exe, "http://127.0.0.1:1/", NULL};
	const struct clew_go_layout *l;
	struct clew_runtime rt;
	pid_t pid = spawn(argv, 1);

	assert_true(pid > 0);
	discover(pid, &rt);
	assert_int_equal(rt.kind, CLEW_RT_GO);
	l = clew_go__layout(rt.version);
	if (!l) { /* a release newer than the table: no numbers, and said so */
		assert_int_equal(rt.entry.go_goid, 0);
		assert_int_equal(rt.nr_sites, 0);
		assert_non_null(strstr(rt.why, rt.version));
		end(pid);
		skip();
	}
	assert_string_equal(rt.why, "");
	assert_int_equal(rt.entry.go_goid, l->goid);
	assert_int_equal(rt.entry.go_req_ctx, l->req_ctx);
	assert_int_equal(rt.entry.go_itab_tls != 0, with_itab);
	assert_int_equal(word_at(pid, rt.entry.go_entered - 2), 0x050f); /* SYSCALL */
	assert_non_null(site(&rt, CLEW_SITE_GO_SERVE));
	assert_non_null(site(&rt, CLEW_SITE_GO_ROUNDTRIP));
	assert_int_equal(site(&rt, CLEW_SITE_GO_SERVE)->insn, CLEW_INSN_PUSH);
	assert_int_equal(site(&rt, CLEW_SITE_GO_ROUNDTRIP)->insn, CLEW_INSN_PUSH);
	offs[0] = site(&rt, CLEW_SITE_GO_SERVE)->off;
	offs[1] = site(&rt, CLEW_SITE_GO_ROUNDTRIP)->off;
	end(pid);
}

/* As GNU ld 2.44 links: the function table lies somewhere in .data.rel.ro. */
static int without_table_section(const char *exe, const char *out)
{
	char *argv[] = {"objcopy",
			"--rename-section",
			".data.rel.ro=.before",
			"--rename-section",
			".gopclntab=.data.rel.ro",
			"--rename-section",
			".data.rel.ro.gopclntab=.data.rel.ro",
			(char *)exe,
			(char *)out,
			NULL};

	return run(argv);
}

/*
 * Symbols and function table must name the same code; stripping moves none of it. With C code
 * linked in, Go's part does not begin where .text does.
 */
static void go_programs(void **state)
{
	static const struct {
		const char *cgo, *full, *stripped, *mode;
	} rows[] = {
		{"CGO_ENABLED=0", "-ldflags=", "-ldflags=-s -w", "-buildmode=exe"},
		{"CGO_ENABLED=0", "-ldflags=", "-ldflags=-s -w", "-buildmode=pie"},
		{"CGO_ENABLED=1", "-ldflags=-linkmode=external",
		 "-ldflags=-s -w -linkmode=external", "-buildmode=exe"},
		{"CGO_ENABLED=1", "-ldflags=-linkmode=external",
		 "-ldflags=-s -w -linkmode=external", "-buildmode=pie"},
	};
	char full[128], stripped[128], merged[128];
	uint64_t a[2], b[2];
	size_t i, done = 0;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(full, sizeof(full), "%s/full%zu", dir, i);
		snprintf(stripped, sizeof(stripped), "%s/stripped%zu", dir, i);
		snprintf(merged, sizeof(merged), "%s/merged%zu", dir, i);
		if (go_build(full, rows[i].cgo, rows[i].full, rows[i].mode) ||
		    go_build(stripped, rows[i].cgo, rows[i].stripped, rows[i].mode))
			continue; /* no Go, or no C compiler for it */
		go_check(full, true, a);
		go_check(stripped, false, b);
		assert_int_equal(a[0], b[0]);
		assert_int_equal(a[1], b[1]);
		done++;
		if (!strstr(rows[i].mode, "pie") || strstr(rows[i].full, "external"))
			continue;
		assert_int_equal(without_table_section(stripped, merged), 0);
		go_check(merged, false, b);
		assert_int_equal(a[0], b[0]);
	}
	if (!done)
		skip();
}

static uint16_t free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&a, &len), 0);
	close(s);
	return ntohs(a.sin_port);
}

static void nginx(void **state)
{
	char conf[128], prefix[128];
	char *const argv[] = {"/usr/sbin/nginx", "-p", prefix, "-c", conf, "-e", "stderr", NULL};
	struct clew_runtime rt;
	pid_t pid;
	FILE *f;

	(void)state;
	if (access(argv[0], X_OK))
		skip();
	snprintf(conf, sizeof(conf), "%s/nginx.conf", dir);
	snprintf(prefix, sizeof(prefix), "%s/", dir);
	f = fopen(conf, "w");
	assert_non_null(f);
	fprintf(f,
		"daemon off; master_process off; pid %s/nginx.pid; error_log stderr;\n"
		"events { worker_connections 16; }\n"
		"http { access_log off; client_body_temp_path %s/b; proxy_temp_path %s/p;\n"
		"fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n"
		"server { listen 127.0.0.1:%u; } }\n",
		dir, dir, dir, dir, dir, dir, free_port());
	fclose(f);
	pid = spawn(argv, 0);
	wait_exec(pid, "nginx");
	discover(pid, &rt);
	assert_int_equal(rt.kind, CLEW_RT_NGINX);
	assert_string_equal(rt.name, "nginx");
	assert_true(rt.version[0] >= '0' && rt.version[0] <= '9' && strchr(rt.version, '.'));
	assert_string_equal(rt.why, "");
	end(pid);
}

static void haproxy(void **state)
{
	char conf[128];
	char *const argv[] = {"/usr/sbin/haproxy", "-db", "-f", conf, NULL};
	struct clew_runtime rt;
	pid_t pid;
	FILE *f;

	(void)state;
	if (access(argv[0], X_OK))
		skip();
	snprintf(conf, sizeof(conf), "%s/haproxy.conf", dir);
	f = fopen(conf, "w");
	assert_non_null(f);
	fprintf(f,
		"defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server "
		"1s\n"
		"frontend f\n bind 127.0.0.1:%u\n",
		free_port());
	fclose(f);
	pid = spawn(argv, 0);
	wait_exec(pid, "haproxy");
	discover(pid, &rt);
	assert_int_equal(rt.kind, CLEW_RT_HAPROXY);
	assert_true(rt.version[0] >= '2' && rt.version[0] <= '9' && strchr(rt.version, '.'));
	assert_string_equal(rt.why, "");
	assert_true(rt.entry.ha_fdtab && rt.entry.ha_h1s);
	assert_int_equal(rt.nr_sites, 0);
	end(pid);
}

/* Debian's interpreter is in a library, stripped. */
static void ruby(void **state)
{
	char *const argv[] = {"/usr/bin/ruby", "-e", "puts 1; $stdout.flush; sleep 60", NULL};
	struct clew_runtime rt;
	pid_t pid;

	(void)state;
	if (access(argv[0], X_OK))
		skip();
	pid = spawn(argv, 1);
	discover(pid, &rt);
	assert_int_equal(rt.kind, CLEW_RT_RUBY);
	assert_true(rt.version[0] >= '2' && rt.version[0] <= '9' && strchr(rt.version, '.'));
	assert_string_equal(rt.why, "");
	assert_int_equal(rt.entry.flags, CLEW_PROC_THREADS);
	assert_true(rt.entry.ruby_embedded && rt.entry.ruby_ivars);
	assert_int_equal(rt.nr_sites, 1);
	assert_int_equal(rt.sites[0].kind, CLEW_SITE_RUBY_SHIFT);
	end(pid);
}

/* Told by its file, whatever its name: here it has none that says so. */
static void php_fpm(void **state)
{
	char conf[128], exe[128], cmd[512];
	char *const argv[] = {exe, "-n", "-F", "-R", "-y", conf, NULL};
	struct clew_runtime rt;
	glob_t found;
	pid_t pid;
	FILE *f;

	(void)state;
	if (glob("/usr/sbin/php-fpm*", 0, NULL, &found)) {
		globfree(&found);
		skip();
	}
	snprintf(conf, sizeof(conf), "%s/fpm.conf", dir);
	snprintf(exe, sizeof(exe), "%s/worker", dir);
	snprintf(cmd, sizeof(cmd), "cp %s %s", found.gl_pathv[0], exe);
	globfree(&found);
	assert_int_equal(system(cmd), 0);
	f = fopen(conf, "w");
	assert_non_null(f);
	fprintf(f,
		"[global]\nerror_log = /dev/null\n[www]\nlisten = %s/fpm.sock\npm = static\n"
		"pm.max_children = 1\n",
		dir);
	fclose(f);
	pid = spawn(argv, 0);
	wait_exec(pid, "worker");
	discover(pid, &rt);
	assert_int_equal(rt.kind, CLEW_RT_PHP);
	assert_string_equal(rt.name, "php");
	assert_string_equal(rt.why, "");
	assert_int_equal(rt.entry.flags, 0); /* nobody watches what it waits for */
	end(pid);
}

static void node(void **state)
{
	char *const argv[] = {"node", "-e", "console.log(1);setTimeout(()=>{},60000)", NULL};
	struct clew_runtime rt;
	pid_t pid = spawn(argv, 1);

	(void)state;
	if (pid < 0)
		skip();
	discover(pid, &rt);
	assert_int_equal(rt.kind, CLEW_RT_NODE);
	assert_string_equal(rt.name, "node");
	assert_true(rt.version[0] >= '1' && rt.version[0] <= '9' && strchr(rt.version, '.'));
	assert_true(rt.entry.node_realm && rt.entry.node_env && rt.entry.node_ids &&
		    rt.entry.node_id);
	assert_non_null(site(&rt, CLEW_SITE_NODE_PARSER));
	assert_non_null(site(&rt, CLEW_SITE_NODE_ID));
	if (!rt.why[0])
		assert_non_null(site(&rt, CLEW_SITE_NODE_RESUME));
	for (uint32_t i = 0; i < rt.nr_sites; i++)
		assert_in_range(rt.sites[i].insn, CLEW_INSN_PUSH, CLEW_INSN_JUMP);
	end(pid);
}

/* AsyncWrap::AsyncReset in a release of Node 22, and what is not it; in Debian 13's Node 20. */
static void node_layout(void **state)
{
	static const uint8_t code[] = {
		0x55, 0xf2, 0x0f, 0x10, 0x47, 0x38,		/* movsd 0x38(%rdi),%xmm0 */
		0x48, 0x89, 0xfb, 0x48, 0x8b, 0x43, 0x10,	/* mov 0x10(%rbx),%rax */
		0x48, 0x8b, 0x80, 0xb0, 0x00, 0x00, 0x00,	/* mov 0xb0(%rax),%rax */
		0x48, 0x8b, 0x90, 0x80, 0x04, 0x00, 0x00,	/* mov 0x480(%rax),%rdx */
		0xf2, 0x0f, 0x58, 0x42, 0x10, 0x90, 0x90, 0x90, /* addsd 0x10(%rdx),%xmm0 */
	};
	static const uint8_t compares[] = {
		0x55, 0x66, 0x0f, 0x2e, 0x4f, 0x28,		/* ucomisd 0x28(%rdi),%xmm1 */
		0x48, 0x89, 0xfb, 0x48, 0x8b, 0x43, 0x10,	/* mov 0x10(%rbx),%rax */
		0x66, 0x0f, 0x2e, 0xc1,				/* ucomisd %xmm1,%xmm0 */
		0x48, 0x8b, 0x90, 0xb0, 0x00, 0x00, 0x00,	/* mov 0xb0(%rax),%rdx */
		0x48, 0x8b, 0x82, 0x80, 0x04, 0x00, 0x00,	/* mov 0x480(%rdx),%rax */
		0xf2, 0x0f, 0x58, 0x40, 0x10, 0x90, 0x90, 0x90, /* addsd 0x10(%rax),%xmm0 */
	};
	struct clew_node_layout l;
	uint8_t bad[sizeof(code)];
	size_t n;

	(void)state;
	assert_int_equal(clew_node__layout(code, sizeof(code), &l), 0);
	assert_int_equal(l.id, 0x38);
	assert_int_equal(l.realm, 0x10);
	assert_int_equal(l.env, 0xb0);
	assert_int_equal(l.ids, 0x480);
	for (n = 0; n < 32; n++) {
		uint8_t *cut = malloc(n + 1); /* ASan sees a read behind the end */

		memcpy(cut, code, n);
		assert_int_equal(clew_node__layout(cut, n, &l), -ENOENT);
		free(cut);
	}
	memcpy(bad, code, sizeof(code));
	bad[31] = 0x18; /* adds to another field */
	assert_int_equal(clew_node__layout(bad, sizeof(bad), &l), -ENOENT);
	memcpy(bad, code, sizeof(code));
	bad[22] = 0x91; /* from another register */
	assert_int_equal(clew_node__layout(bad, sizeof(bad), &l), -ENOENT);
	assert_int_equal(clew_node__layout(compares, sizeof(compares), &l), 0);
	assert_int_equal(l.id, 0x28);
	assert_int_equal(l.env, 0xb0);
	assert_int_equal(l.ids, 0x480);
}

/* Many processes of one program, one parse; a changed file is parsed again. */
static void cache(void **state)
{
	char *const argv[] = {"sleep", "60", NULL};
	struct clew_runtime_cache *cache = clew_runtime_cache__new();
	uint64_t parsed, hits;
	struct clew_runtime rt;
	pid_t pids[5];
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		pids[i] = spawn(argv, 0);
		wait_exec(pids[i], "sleep");
		assert_int_equal(clew_runtime__discover(cache, (uint32_t)pids[i], &rt), 0);
	}
	clew_runtime_cache__stats(cache, &parsed, &hits);
	assert_int_equal(parsed, 1);
	assert_int_equal(hits, 4);
	for (i = 0; i < 5; i++)
		end(pids[i]);
	clew_runtime_cache__free(cache);
	clew_runtime_cache__free(NULL);
}

/* The program's file is gone from its path: it is still read, through /proc. */
static void deleted_program(void **state)
{
	char copy[128];
	char *const cp[] = {"cp", "/bin/sleep", copy, NULL}, *const argv[] = {copy, "60", NULL};
	struct clew_runtime rt;
	pid_t pid;

	(void)state;
	snprintf(copy, sizeof(copy), "%s/gone", dir);
	assert_int_equal(run(cp), 0);
	pid = spawn(argv, 0);
	wait_exec(pid, "/gone");
	assert_int_equal(unlink(copy), 0);
	discover(pid, &rt);
	assert_string_equal(rt.exe, copy);
	assert_int_equal(rt.kind, CLEW_RT_UNKNOWN);
	assert_string_equal(rt.why, "");
	end(pid);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(native),	cmocka_unit_test(python),
		cmocka_unit_test(python_later), cmocka_unit_test(go_programs),
		cmocka_unit_test(nginx),	cmocka_unit_test(php_fpm),
		cmocka_unit_test(ruby),		cmocka_unit_test(haproxy),
		cmocka_unit_test(node),		cmocka_unit_test(node_layout),
		cmocka_unit_test(cache),	cmocka_unit_test(deleted_program),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
