/*
 * spawn: start a program of ours in a process of its own: fork and exec, with the descriptors it is to have from 3 up
 * and no others. 0 and 1 are /dev/null; 2 stays the caller's (which is /dev/null for a daemon in the background), so
 * that what a program says when it crashes is not lost on a terminal.
 */
#ifndef C2SD_COMMON_SPAWN_H
#define C2SD_COMMON_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#define SPAWN_DESCRIPTORS_MAX 4

/*
 * `arguments` begins with the program's name and ends with NULL; fds[i] becomes descriptor 3 + i there and stays open
 * here. The process's id, or a negative errno: also when the program cannot be executed.
 */
pid_t spawn_program(const char *program, char *const arguments[], const int fds[], size_t count)
    __attribute__((warn_unused_result));

#endif
