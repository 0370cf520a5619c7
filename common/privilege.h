/*
 * privilege: from root to the service's user, for good, and what every process gives up (doc/design.md, "Privilege").
 */
#ifndef C2SD_COMMON_PRIVILEGE_H
#define C2SD_COMMON_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

struct account_ids {
	uid_t uid;
	gid_t gid;
};

/* Look up who to become. `group` NULL: the user's own. False: there is no such user or group (errno 0), or errno. */
bool privilege_find(struct account_ids *ids_r, const char *user, const char *group);

/*
 * Become that user, with that one group and no others, and make sure that there is no way back. Does nothing when the
 * process is not root. 0, or -1 with errno.
 */
int privilege_drop(const struct account_ids *ids) __attribute__((warn_unused_result));

/*
 * What every process does before it reads the network: no new privileges, no core file with passwords in it and no
 * debugger of the same user (but under a sanitizer, whose leak check is one). 0, or -1 with errno.
 */
int privilege_seal(void) __attribute__((warn_unused_result));

/* Close every descriptor from `lowest` up. */
void privilege_close_from(int lowest);

#endif
