/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_bpf.c - the capture core of bpf/lib as an ordinary program (tests/native): calls of any
 * layout on one connection, on four shapes of the kernel's iterator.
 *
 * The first byte says what kind of connection, then every step is one call: what it does, how
 * many buffers, their sizes, and their bytes (a text of the list or the input's). Checked, beside
 * what the sanitizers see: a segment says the true position, length and bytes of the call, its
 * tail are its last bytes, no more is copied than the budget of a change of direction, and a
 * connection that speaks HTTP gets one segment for every call.
 *
 * With the upper bits of the first byte the process has a runtime, and memory in which its
 * contexts are looked up: a word of it is one byte of the input, so that pointers to it are found.
 */
#include "kernel.h"

#include <sys/mman.h>

#include <clew/proto.h>

#define CALL_MAX 20000
#define OBJECTS	 0x200000000000ULL /* where the runtime's objects are */
#define WORDS	 128
#define NUMBERS	 20

int LLVMFuzzerTestOneInput(const __u8 *p, size_t n);

static const char *const texts[] = {
	"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	"0\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"M-SEARCH * HTTP/1.1\r\n\r\n",
	"\x16\x03\x01",
};

struct world {
	struct native_sock sock;
	const __u8 *p;
	size_t n;
	__u32 pos[2]; /* of the next byte, by direction */
	__u64 copied; /* since the direction changed */
	int last_dir;
	bool unix_socket;
};

static __u8 next(struct world *w)
{
	if (!w->n)
		return 0;
	w->n--;
	return *w->p++;
}

/* `len` bytes: a text, then the input's own, then a pattern that tells positions apart. */
static void fill(struct world *w, __u8 *to, __u32 len, __u8 what)
{
	const char *text = what & 8 ? texts[what & 7] : "";
	__u32 at = (__u32)strlen(text), i;

	if (at > len)
		at = len;
	memcpy(to, text, at);
	for (i = at; i < len && !(what & 16) && w->n; i++)
		to[i] = next(w);
	for (; i < len; i++)
		to[i] = (__u8)(i * 31 + (i >> 8) * 7 + w->pos[0]);
}

static void check_segment(struct world *w, const struct native_call *call, const __u8 *all,
			  const struct clew_segment *seg)
{
	__u32 budget;

	MUST(seg->h.size == sizeof(*seg) + seg->cap && seg->h.version == CLEW_EVENT_VERSION);
	MUST(seg->h.pid == NATIVE_TGID && seg->h.tid == NATIVE_TID &&
	     (watch == CLEW_UNWATCHED || seg->watch != CLEW_UNWATCHED));
	MUST(seg->dir == call->dir && seg->len == call->len && seg->cap <= seg->len);
	MUST(seg->seq == w->pos[call->dir]);
	MUST(seg->tail_len <= CLEW_TAIL_MAX && seg->tail_len <= seg->len);
	MUST(!memcmp(seg->data, all, seg->cap));
	if (seg->tail_len)
		MUST(seg->cap < seg->len &&
		     !memcmp(seg->tail, all + seg->len - seg->tail_len, seg->tail_len));
	if (call->no_bytes || call->absent)
		MUST(!seg->cap && !seg->tail_len);
	/* FastCGI: the beginning of each call, whatever was copied before */
	if (native_conn(&w->sock)->class != CLEW_CLASS_FASTCGI || seg->cap > CLEW_FASTCGI_LEAST)
		w->copied += seg->cap;
	budget = native_config.request_budget > native_config.response_budget
			 ? native_config.request_budget
			 : native_config.response_budget;
	MUST(w->copied <= budget);
}

static void check(struct world *w, const struct native_call *call, const __u8 *all, __u32 opened)
{
	const struct clew_segment *seg = native_segment();
	const struct clew_kconn *c = native_conn(&w->sock);

	MUST(c);
	if (w->last_dir != (int)call->dir)
		w->copied = 0;
	if (seg)
		check_segment(w, call, all, seg);
	MUST(c->class != CLEW_CLASS_IGNORED || !seg);
	MUST(c->class < CLEW_CLASS_HTTP || seg || native.ring_full);
	MUST(!seg || opened || native.nr_events == 2 || c->announced);
	w->last_dir = (int)call->dir;
	w->pos[call->dir] += call->len;
}

/* What other hooks do between two calls, and what the thread is by then. */
static void between(struct world *w, __u8 what, __u8 arg)
{
	struct clew_kconn *c = (struct clew_kconn *)native_conn(&w->sock);
	__u32 tid = NATIVE_TID;
	struct clew_thread *th = bpf_map_lookup_elem(&threads, &tid);

	native_drop_events();
	switch (what & 7) {
	case 0: /* back from epoll_wait() on this descriptor, for at most as many events */
		if (native.task.files && !waits_for_one(&native.proc, arg & 3, arg >> 2 & 1))
			context_loop_turn(&native.proc);
		break;
	case 1:
		native.task.flags = arg & 1 ? CLEW_PF_IO_WORKER : 0;
		native.task.io_uring = (void *)(__u64)(arg & 2);
		break;
	case 2:
		if (th)
			th->uv = arg & 1;
		if (c)
			c->py_note = arg >> 1 & 3;
		break;
	default:
		if (c)
			conn_emit_close(c->id, CLEW_CLOSE_REUSED);
		break;
	}
}

static void step(struct world *w)
{
	__u8 what = next(w), layout = next(w), content = next(w), *all;
	struct native_call call = {.dir = what & 1 ? CLEW_SEND : CLEW_RECV};
	const struct clew_kconn *before = native_conn(&w->sock);
	__u32 room = 0, left, at = 0;

	if (what >> 5 == 7) {
		between(w, what, layout);
		return;
	}
	call.nr = 1 + (layout & 15) % NATIVE_IOV;
	call.ubuf = what & 2 && call.nr == 1;
	call.absent = (what & 0x1c) == 0x04;
	call.no_bytes = (what & 0x1c) == 0x08;
	native.ring_full = (what & 0x1c) == 0x0c;
	for (__u32 i = 0; i < call.nr; i++) {
		call.size[i] = next(w) * (layout & 0x20 ? 16U : 1U);
		room += call.size[i];
	}
	call.len = room < CALL_MAX ? room : CALL_MAX;
	/* the last buffer of a read may be larger than what came */
	if (call.dir == CLEW_RECV && layout & 0x40 && call.size[call.nr - 1])
		call.len -= 1 + next(w) % call.size[call.nr - 1];
	if (call.len > room)
		call.len = room;
	if (call.dir == CLEW_SEND && !call.len)
		return;
	all = malloc(room + 1);
	fill(w, all, room, content);
	for (__u32 i = 0; i < call.nr; i++) {
		call.buf[i] = all + at;
		at += call.size[i];
	}
	/* what was not moved is only in a buffer that the kernel did not come to */
	for (left = call.len, at = 0; at < call.nr; at++) {
		if (call.size[at] >= left)
			break;
		left -= call.size[at];
	}
	if (at + 1 < call.nr)
		call.nr = at + 1;
	native_play(&w->sock, &call);
	check(w, &call, all, before && before->announced);
	native.ring_full = false;
	free(all);
}

/* What the parser takes for the beginning of a message, the kernel side must not turn away. */
static void check_classify(const __u8 *p, size_t n)
{
	__u64 w = 0;
	const struct clew_proto_ops *proto;
	int is = clew_proto__detect(p, n, &proto);
	enum sign sign;

	/* the kernel side passes over one empty line, the parser over more */
	if (n > 2 && strchr("\r\n", p[2]) && strchr("\r\n", p[0]))
		return;
	memcpy(&w, p, n < 8 ? n : 8);
	sign = classify(w, n > 0xffffffff ? 0xffffffff : (__u32)n);
	if (is == 1)
		MUST(sign == SIGN_REQUEST);
	/* an answer is known by its request: the kernel side has not seen it begin otherwise */
	if (is == 2 && proto == &clew_http1)
		MUST(sign == SIGN_RESPONSE);
}

/* ---- a process with a runtime -------------------------------------------------------------- */

struct runtime {
	struct native_sock front; /* another connection of it, descriptor 0 */
	struct file *fds[2];
	struct fdtable fdt;
	struct files_struct files;
	struct hlist_head head;
	struct epitem item;
	__u64 words[WORDS];
};

static __u64 object(__u8 at)
{
	return OBJECTS + (at & 0x7f) * 8U;
}

/* Two numbers of 32 bits in one word. */
static __u64 halves(struct world *w)
{
	__u64 low = next(w);

	return low | (__u64)next(w) << 32;
}

static void objects(struct world *w, struct runtime *rt)
{
	static __u64 *mem;
	__u8 nr = next(w) & 0x7f;

	if (!mem) {
		mem = mmap((void *)OBJECTS, 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		MUST(mem == (void *)OBJECTS);
	}
	for (__u8 i = 0; i < nr; i++) {
		__u8 what = next(w);

		rt->words[i] = what & 0x80    ? object(what)
			       : what == 0x7f ? NGX_HTTP_MODULE_SIGNATURE
			       : what == 0x7e ? halves(w)
					      : what;
	}
	memcpy(mem, rt->words, sizeof(rt->words));
	native.objects = mem;
	native.objects_size = sizeof(rt->words);
}

/* The descriptors and the epoll item by which nginx and HAProxy are asked. */
static void descriptors(struct world *w, struct runtime *rt, __u64 epoll_word)
{
	native_sock_init(&rt->front, CLEW_AF_INET, 1, 1);
	conn_accepted(&rt->front.u.sk, 78);
	rt->front.inode.i_mode = w->sock.inode.i_mode = CLEW_S_IFSOCK;
	rt->front.file.private_data = &rt->front.socket;
	w->sock.file.private_data = &w->sock.socket;
	rt->fds[0] = &rt->front.file;
	rt->fds[1] = &w->sock.file;
	rt->fdt.max_fds = 2;
	rt->fdt.fd = rt->fds;
	rt->files.fdt = &rt->fdt;
	native.task.files = &rt->files;
	rt->head.first = &rt->item.fllink;
	rt->item.event.data = epoll_word;
	w->sock.file.f_ep = &rt->head;
}

static void python(const __u8 *b)
{
	struct clew_thread th = {.turn = b[9]};
	struct clew_py_task task = {py_task_key(object(b[10]), NATIVE_TGID), object(b[11])};
	__u32 tid = NATIVE_TID;
	__u32 at = (__u32)((task.key * 0x9e3779b97f4a7c15ULL) >> 32) % CLEW_PY_TASKS;

	native.proc.py_ctx = b[3];
	native.proc.py_task_ctx = b[4];
	native.proc.py_specific = b[5];
	native.proc.py_key = b[6];
	native.proc.py_closure = b[7];
	native.proc.py_values = b[8] & 3;
	native.proc.py_thread = b[13];
	if (b[9]) { /* a Task's constructor runs */
		th.task = object(b[11]);
		th.task_parent = object(b[10]);
		th.task_type = object(b[12]);
		bpf_map_update_elem(&threads, &tid, &th, BPF_ANY);
	}
	bpf_map_update_elem(&py_tasks, &at, &task, BPF_ANY);
}

static void java(struct world *w, const __u8 *b)
{
	struct clew_proc *p = &native.proc;
	struct clew_java_wait wait = {};
	__u32 tgid = NATIVE_TGID, *klass = &wait.future;
	__u16 *off = &wait.stack_base;

	p->java_self = b[3];
	p->java_obj = b[4];
	p->java_vthread = b[5];
	p->java_eetop = b[6];
	p->java_tid = b[7];
	p->java_carrier = b[8];
	p->java_holder = b[9];
	p->java_target = b[10];
	p->java_w_thread = b[11];
	p->java_w_done = b[12];
	p->java_gc_count = b[13];
	p->java_gc_active = b[14];
	p->java_worker = b[15];
	p->java_heap = object(b[16]);
	p->java_oops = OBJECTS;
	p->java_shift = 3;
	if (!(b[2] & 4))
		return;
	/* offsets and classes of java.util.concurrent and java.net.http: the same small numbers,
	 * or those of the input
	 */
	p->java_client = b[2] & 8 ? next(w) : b[3] & 0xf;
	for (int i = 0; off + i < (__u16 *)klass; i++)
		off[i] = b[2] & 8 ? next(w) : b[3 + i % 13];
	for (int i = 0; klass + i < (__u32 *)(&wait + 1); i++)
		klass[i] = b[2] & 8 ? next(w) : b[3 + i % 13] & 0xf;
	bpf_map_update_elem(&procs, &tgid, p, BPF_ANY);
	bpf_map_update_elem(&java_waits, &tgid, &wait, BPF_ANY);
}

static void node(const __u8 *b)
{
	struct clew_thread th = {.turn = 1};
	__u32 tid = NATIVE_TID;

	native.proc.node_ids = b[3];
	th.node_at = b[4] ? object(b[4]) : 0;
	th.node_queue = b[5] ? object(b[5]) : 0;
	th.node_task = b[6];
	th.node_inst = b[7];
	th.node_drain = b[8];
	bpf_map_update_elem(&threads, &tid, &th, BPF_ANY);
}

static void rust(const __u8 *b)
{
	struct clew_thread th = {.turn = 1};
	__u32 tid = NATIVE_TID;

	native.proc.rust_task = (__s8)b[3];
	native.proc.rust_index = b[4];
	native.proc.rust_places = b[5];
	th.rust_task = b[6];
	th.rust_rx = object(b[7]);
	th.rust_message = b[8];
	th.rust_slot = b[9];
	bpf_map_update_elem(&threads, &tid, &th, BPF_ANY);
}

static struct runtime *runtime(struct world *w)
{
	struct runtime *rt = calloc(1, sizeof(*rt));
	__u8 b[NUMBERS];

	native.proc.runtime = next(w) & 15; /* the seeds outlive a new kind */
	for (int i = 0; i < NUMBERS; i++)
		b[i] = next(w);
	objects(w, rt);
	native.task.thread.fsbase = object(b[0]);
	descriptors(w, rt, b[1] & 0x80 ? object(b[1]) : b[1]);
	native.proc.flags = b[2] & 1 ? CLEW_PROC_THREADS : 0;
	watch = b[2] & 2 ? CLEW_UNWATCHED : b[2] >> 4;
	switch (native.proc.runtime) {
	case CLEW_RT_GO:
		native.proc.go_goid = b[3];
		break;
	case CLEW_RT_PYTHON:
		python(b);
		break;
	case CLEW_RT_JAVA:
		java(w, b);
		break;
	case CLEW_RT_HAPROXY:
		native.proc.ha_h1s = b[3];
		native.proc.ha_fdtab = object(b[4]);
		break;
	case CLEW_RT_NODE:
		node(b);
		break;
	case CLEW_RT_TOKIO:
		rust(b);
		break;
	default:
		break;
	}
	return rt;
}

int LLVMFuzzerTestOneInput(const __u8 *p, size_t n)
{
	static const __u32 budgets[][2] = {
		{4096, 1024}, {512, 64}, {16384, 16384}, {0, 0}, {100, 4000}};
	struct runtime *rt;
	struct world *w;
	__u8 kind;

	if (!n)
		return 0;
	check_classify(p, n);
	w = calloc(1, sizeof(*w));
	w->p = p;
	w->n = n;
	kind = next(w);
	w->unix_socket = kind & 4;
	w->last_dir = -1;
	native_init((enum native_release)(kind & 3), budgets[(kind >> 5) % 5][0],
		    budgets[(kind >> 5) % 5][1]);
	w->pos[CLEW_SEND] = w->unix_socket ? 0 : 0xffffff00;
	w->pos[CLEW_RECV] = w->unix_socket ? 0 : 5000;
	native_sock_init(&w->sock, w->unix_socket ? CLEW_AF_UNIX : CLEW_AF_INET, w->pos[CLEW_SEND],
			 w->pos[CLEW_RECV]);
	if ((kind >> 3 & 3) == 1)
		conn_accepted(&w->sock.u.sk, w->sock.inode.i_ino);
	if ((kind >> 3 & 3) == 2)
		conn_connecting(&w->sock.u.sk, w->sock.inode.i_ino);
	rt = kind >> 5 > 4 ? runtime(w) : NULL;
	while (w->n >= 3)
		step(w);
	native_fini();
	free(rt);
	free(w);
	return 0;
}
