/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smoke.c - attach every program of smoke.bpf.c, exchange EXCHANGES messages with itself over
 * loopback TCP, and say for each kind of hook how often it fired. Exit 1 when one could not be
 * attached or fired less than once per message.
 *
 *	smoke smoke.bpf.o [NAME...]	NAMEs: kinds that may fail here (reported, not counted)
 *
 * bpf_program__attach falls back from links to perf events by itself, which `bpftool prog load
 * autoattach` cannot: on 5.10 a kprobe has no link that could be pinned.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "smoke.h"

#define EXCHANGES 20
#define MAX_LINKS 16

static const struct {
	const char *name;
	const char *prog; /* the program whose attachment it needs */
	unsigned int least;
} slots[SMOKE_SLOTS] = {
	[SMOKE_FEXIT] = {"fexit", "smoke_fexit", EXCHANGES},
	[SMOKE_CORE] = {"co-re", "smoke_fexit", EXCHANGES},
	[SMOKE_RING] = {"ringbuf", "smoke_fexit", EXCHANGES},
	[SMOKE_KPROBE] = {"kprobe", "smoke_kprobe", EXCHANGES},
	[SMOKE_KRETPROBE] = {"kretprobe", "smoke_kretprobe", EXCHANGES},
	[SMOKE_RAW_TP] = {"raw_tp", "smoke_raw_tp", EXCHANGES},
	[SMOKE_TP_BTF] = {"tp_btf", "smoke_tp_btf", 1},
	[SMOKE_TRACEPOINT] = {"tracepoint", "smoke_tracepoint", 1},
	[SMOKE_UPROBE] = {"uprobe", "smoke_uprobe", EXCHANGES},
};

/* The target of the uprobe; a call to it must remain a call. */
__attribute__((noinline)) int smoke__probed(int n);

int smoke__probed(int n)
{
	__asm__ volatile("" : "+r"(n));
	return n + 1;
}

static struct bpf_link *attach(const struct bpf_program *prog)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = "smoke__probed");

	if (strcmp(bpf_program__name(prog), "smoke_uprobe") != 0)
		return bpf_program__attach(prog);
	return bpf_program__attach_uprobe_opts(prog, getpid(), "/proc/self/exe", 0, &opts);
}

static int connect_pair(int *ret_client, int *ret_server)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	*ret_client = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || *ret_client < 0)
		return -errno;
	if (bind(listener, (struct sockaddr *)&addr, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(*ret_client, (struct sockaddr *)&addr, len))
		return -errno;
	*ret_server = accept(listener, NULL, NULL);
	close(listener);
	return *ret_server < 0 ? -errno : 0;
}

static int exchange(void)
{
	int client = -1, server = -1, err;
	char buf[8];

	err = connect_pair(&client, &server);
	for (int i = 0; !err && i < EXCHANGES; i++) {
		smoke__probed(i);
		if (send(client, "message", 7, 0) != 7 || recv(server, buf, sizeof(buf), 0) != 7)
			err = -EIO;
	}
	return err;
}

static bool may_fail(const char *name, char **names)
{
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static int report(const struct bpf_object *obj, char **forgiven)
{
	int map = bpf_object__find_map_fd_by_name(obj, "hits");
	int failed = 0;

	for (__u32 i = 0; i < SMOKE_SLOTS; i++) {
		const char *verdict = "ok";
		__u64 value = 0;

		if (bpf_map_lookup_elem(map, &i, &value) || value < slots[i].least) {
			verdict = may_fail(slots[i].name, forgiven) ? "absent" : "FAIL";
			failed += verdict[0] == 'F';
		}
		printf("%-6s hook %-10s %llu hits\n", verdict, slots[i].name,
		       (unsigned long long)value);
	}
	return failed;
}

static int set_filter(struct bpf_object *obj)
{
	struct bpf_map *rodata = bpf_object__find_map_by_name(obj, ".rodata");
	__u32 tgid = getpid();

	if (!rodata)
		return -ENOENT;
	return bpf_map__set_initial_value(rodata, &tgid, sizeof(tgid));
}

int main(int argc, char **argv)
{
	struct bpf_object *obj;
	struct bpf_program *prog;
	struct bpf_link *links[MAX_LINKS];
	int count = 0, failed, err;

	if (argc < 2) {
		fprintf(stderr, "usage: smoke smoke.bpf.o [NAME...]\n");
		return 2;
	}
	obj = bpf_object__open_file(argv[1], NULL);
	if (!obj)
		return 1;
	err = set_filter(obj);
	if (!err)
		err = bpf_object__load(obj);
	if (err) {
		fprintf(stderr, "smoke: cannot load %s: %s\n", argv[1], strerror(-err));
		return 1;
	}
	bpf_object__for_each_program(prog, obj)
	{
		struct bpf_link *link = attach(prog);

		if (link && count < MAX_LINKS)
			links[count++] = link;
	}
	err = exchange();
	if (err)
		fprintf(stderr, "smoke: loopback exchange: %s\n", strerror(-err));
	failed = report(obj, argv + 2);
	while (count > 0)
		bpf_link__destroy(links[--count]);
	bpf_object__close(obj);
	return err || failed;
}
