/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_tracing.h - what the programs that tests/native runs ask of it: registers of a system
 * call, of which there is but one, and of a probe.
 */
#define PT_REGS_PARM1_CORE(regs) (*(const unsigned long *)(regs)) /* all that there is of them */
#define PT_REGS_PARM1(regs)	 ((regs)->di)
#define PT_REGS_PARM2(regs)	 ((regs)->si)
#define PT_REGS_IP(regs)	 ((regs)->ip)
