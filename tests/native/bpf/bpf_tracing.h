/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_tracing.h - almost empty: tests/native runs the core of bpf/lib, not the programs around it.
 */
#define PT_REGS_PARM1_CORE(regs) (*(const unsigned long *)(regs)) /* all that there is of them */
