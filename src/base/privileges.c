/* SPDX-License-Identifier: Apache-2.0 */
/* privileges.c - capset(2) by its system call: one use is not worth a library. */
#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/privileges.h"

static const int kept[] = {CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYS_NICE};

int clew_privileges__drop(char *errbuf, size_t n)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2], want[2];

	memset(d, 0, sizeof(d));
	memset(want, 0, sizeof(want));
	if (syscall(SYS_capget, &h, d))
		goto fail;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		want[CAP_TO_INDEX(kept[i])].permitted |= CAP_TO_MASK(kept[i]);
	for (int i = 0; i < 2; i++) {
		want[i].permitted &= d[i].permitted;
		want[i].effective = want[i].permitted;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capset, &h, want))
		goto fail;
	return 0;
fail:
	snprintf(errbuf, n, "cannot drop privileges: %s; running on with all of them",
		 strerror(errno));
	return -errno;
}
