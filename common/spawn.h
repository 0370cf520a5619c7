/*
 * spawn: start a program of ours in a process of its own: fork and exec, with the descriptors it is to have from 3 up
 * and no others. 0 and 1 are /dev/null; 2 stays the caller's (which is /dev/null for a daemon in the background), so
 * that what a program says when it crashes is not lost on a terminal.
 *
 * Nothing of the caller's environment is passed on: no LD_PRELOAD, no NOTIFY_SOCKET, no LISTEN_FDS. The new one holds
 * room for the process's title and, in a build with the address sanitizer, the settings of that.
 */
#ifndef C2SD_COMMON_SPAWN_H
#define C2SD_COMMON_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SPAWN_DESCRIPTORS_MAX 4

/* What the program may not do, for good, from before it is loaded. No child ever leaves a core file. */
struct spawn_limits {
	bool no_files;		/* write no regular file: RLIMIT_FSIZE */
	bool no_processes;	/* start no process and no thread: RLIMIT_NPROC (but for the sanitizer, which does) */
	uint64_t memory;	/* bytes of address space: RLIMIT_AS; 0: as we */
};

/*
 * `arguments` begins with the program's name and ends with NULL; fds[i] becomes descriptor 3 + i there and stays open
 * here; `limits` NULL: none but that of core files. The process's id, or a negative errno: also when the program cannot
 * be executed.
 */
pid_t spawn_program(const char *program, char *const arguments[], const int fds[], size_t count,
    const struct spawn_limits *limits) __attribute__((warn_unused_result));

#endif
