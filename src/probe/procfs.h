/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procfs.h - bounded readers for /proc/PID. See proc(5).
 *
 * Functions return 0 or a count, or -errno; a process that is gone gives -ESRCH wherever it is
 * met. Parsers take text, so that tests can feed them garbage.
 */
#ifndef CLEW_PROBE_PROCFS_H
#define CLEW_PROBE_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CLEW_PROCFS_PATH  512
#define CLEW_CONTAINER_ID 72 /* 64 hex digits, and room for AWS's "<32 hex>-<10 digits>" */

struct clew_proc_stat {
	char comm[32];
	char state;
	uint32_t ppid;
	uint32_t flags;	     /* the kernel's PF_* */
	uint64_t start_time; /* clock ticks since boot; with the pid it names a process for good */
	uint64_t cpu;	     /* clock ticks that all its threads ran, in user and kernel mode */
};

/* One file mapping. */
struct clew_map {
	uint64_t start, end;
	uint64_t pgoff; /* offset of `start` in the file */
	uint64_t ino;
	uint32_t dev_major, dev_minor;
	bool exec;
	bool deleted;
	char path[CLEW_PROCFS_PATH]; /* as the process sees it; without " (deleted)" */
};

/* One line of /proc/net/tcp or tcp6. */
struct clew_tcp_line {
	uint16_t local_port;
	uint8_t state; /* TCP_LISTEN is 10 */
	uint64_t inode;
};

int clew_procfs__parse_stat(const char *text, size_t n, struct clew_proc_stat *ret);
int clew_procfs__parse_map(const char *line, size_t n, struct clew_map *ret);
int clew_procfs__parse_tcp(const char *line, size_t n, struct clew_tcp_line *ret);
/*
 * The container id in the text of /proc/PID/cgroup: Docker, containerd, CRI-O, Podman,
 * Kubernetes and ECS name the control group after it. -ENOENT: none.
 */
int clew_procfs__parse_container(const char *cgroup, size_t n, char ret[CLEW_CONTAINER_ID]);
/* The value of NAME in the text of /proc/PID/environ, NUL terminated, or NULL. */
const char *clew_procfs__parse_env(const char *env, size_t n, const char *name);

/* Read at most n - 1 bytes of /proc/PID/NAME and end them with a NUL. Returns how many. */
ssize_t clew_procfs__read(uint32_t pid, const char *name, char *buf, size_t n);
/* The target of the link /proc/PID/NAME. */
int clew_procfs__link(uint32_t pid, const char *name, char *buf, size_t n);

int clew_procfs__stat(uint32_t pid, struct clew_proc_stat *ret);
bool clew_procfs__is_kthread(const struct clew_proc_stat *st);
/* The path of its program as the process sees it, without " (deleted)". */
int clew_procfs__exe(uint32_t pid, char *buf, size_t n);
/* The inode number of its network namespace. */
int clew_procfs__netns(uint32_t pid, uint64_t *ret_ino);
/* Its pid in its own pid namespace. */
int clew_procfs__nspid(uint32_t pid, uint32_t *ret);
/* Real user id. */
int clew_procfs__uid(uint32_t pid, uint32_t *ret);

/* Callbacks return 0 to go on; anything else ends the walk and is returned. */
typedef int (*clew_pid_fn)(void *arg, uint32_t pid);
typedef int (*clew_map_fn)(void *arg, const struct clew_map *map);
typedef int (*clew_tcp_fn)(void *arg, const struct clew_tcp_line *line);
typedef int (*clew_inode_fn)(void *arg, uint64_t inode);
typedef int (*clew_line_fn)(void *arg, const char *line, size_t n);

int clew_procfs__each_pid(clew_pid_fn fn, void *arg);
int clew_procfs__each_thread(uint32_t pid, clew_pid_fn fn, void *arg);
/* File mappings only, in address order. */
int clew_procfs__each_map(uint32_t pid, clew_map_fn fn, void *arg);
/* TCP sockets, both families, of the network namespace that the process is in. */
int clew_procfs__each_tcp(uint32_t pid, clew_tcp_fn fn, void *arg);
/* The inode number of every socket that the process has open. */
int clew_procfs__each_socket(uint32_t pid, clew_inode_fn fn, void *arg);
/* Lines longer than 8 KiB are cut, and so is what follows 64 MiB. No NUL ends a line. */
int clew_procfs__each_line_of(int fd, clew_line_fn fn, void *arg);
int clew_procfs__each_line(uint32_t pid, const char *name, clew_line_fn fn, void *arg);

/*
 * Open what is mapped, from this mount namespace and though it may be deleted. `path` gets the
 * name that worked (the kernel can open it again while the process lives). Returns an fd.
 */
int clew_procfs__open_map(uint32_t pid, const struct clew_map *map, char *path, size_t n);
int clew_procfs__open_exe(uint32_t pid, char *path, size_t n);
int clew_procfs__open_mem(uint32_t pid);
/*
 * Open a regular file below the process's root; its symbolic links are followed as the process
 * would, so that a container cannot point the reader at a file of the host. Returns an fd.
 */
int clew_procfs__open_in_root(uint32_t pid, const char *path);

#endif
