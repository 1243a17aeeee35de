/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * syscalls.bpf.h - system call numbers and where a finished call's arguments are found in the
 * saved user registers (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/
 * unistd.h). `regs` is a typed pointer: a plain load. On arm64 the first argument survives in
 * orig_x0 only.
 */
#ifndef CLEW_SYSCALLS_BPF_H
#define CLEW_SYSCALLS_BPF_H

#include "base.bpf.h"

#if defined(__TARGET_ARCH_x86)
enum {
	SYS_READ = 0,
	SYS_WRITE = 1,
	SYS_POLL = 7,
	SYS_READV = 19,
	SYS_WRITEV = 20,
	SYS_SELECT = 23,
	SYS_SENDFILE = 40,
	SYS_CONNECT = 42,
	SYS_ACCEPT = 43,
	SYS_SENDTO = 44,
	SYS_RECVFROM = 45,
	SYS_SENDMSG = 46,
	SYS_RECVMSG = 47,
	SYS_EPOLL_WAIT = 232,
	SYS_PSELECT6 = 270,
	SYS_PPOLL = 271,
	SYS_SPLICE = 275,
	SYS_EPOLL_PWAIT = 281,
	SYS_ACCEPT4 = 288,
	SYS_RECVMMSG = 299,
	SYS_SENDMMSG = 307,
	SYS_EPOLL_PWAIT2 = 441,
};
#define SYSCALL_FN     "__x64_sys_" /* the function behind a system call */
#define SYS_NR(regs)   ((regs)->orig_ax)
#define SYS_ARG1(regs) ((regs)->di)
#define SYS_ARG2(regs) ((regs)->si)
#define SYS_ARG3(regs) ((regs)->dx)
#elif defined(__TARGET_ARCH_arm64)
enum {
	SYS_READ = 63,
	SYS_WRITE = 64,
	SYS_POLL = -1,
	SYS_READV = 65,
	SYS_WRITEV = 66,
	SYS_SENDFILE = 71,
	SYS_CONNECT = 203,
	SYS_ACCEPT = 202,
	SYS_SENDTO = 206,
	SYS_RECVFROM = 207,
	SYS_SENDMSG = 211,
	SYS_RECVMSG = 212,
	SYS_EPOLL_WAIT = -2,
	SYS_SELECT = -3,
	SYS_PSELECT6 = 72,
	SYS_PPOLL = 73,
	SYS_SPLICE = 76,
	SYS_EPOLL_PWAIT = 22,
	SYS_ACCEPT4 = 242,
	SYS_RECVMMSG = 243,
	SYS_SENDMMSG = 269,
	SYS_EPOLL_PWAIT2 = 441,
};
#define SYSCALL_FN     "__arm64_sys_"
#define SYS_NR(regs)   ((regs)->syscallno)
#define SYS_ARG1(regs) ((regs)->orig_x0)
#define SYS_ARG2(regs) ((regs)->regs[1])
#define SYS_ARG3(regs) ((regs)->regs[2])
#endif

#endif
