/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.h - the sub-commands of the program. Each returns the exit code: 0 done, 1 failed,
 * 2 wrong use. argv[0] is the sub-command's name.
 */
#ifndef CLEW_COMMANDS_H
#define CLEW_COMMANDS_H

int cmd_run(int argc, char **argv); /* run, record */
int cmd_replay(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_config(int argc, char **argv);

#endif
