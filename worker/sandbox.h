/*
 * sandbox: the system calls that a worker may make, and no others. A program that somebody put into a worker through a
 * hole in a parser can open no file and no socket, start nothing, look into nobody, and map no code.
 *
 * sandbox.c asks libseccomp; sandbox-fallback.c stands in for it where there is none (meson -Dseccomp) and under a
 * sanitizer. The list is in sandbox.c, with the reason for each.
 */
#ifndef C2SD_WORKER_SANDBOX_H
#define C2SD_WORKER_SANDBOX_H

#include <stdbool.h>

/* False: sandbox_enter does nothing. */
bool sandbox_is_built(void);

/*
 * For good: whatever is not on the list kills the process with SIGSYS. Frames, and descriptors with them, are exchanged
 * on `channel` alone. The caller has no new privileges any more (privilege_seal). 0 or a negative errno: the kernel has no
 * such filters.
 */
int sandbox_enter(int channel) __attribute__((warn_unused_result));

#endif
