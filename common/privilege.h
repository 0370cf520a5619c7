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
 * Become that user, with that one group and no others, and make sure that there is no way back; who is not root stays
 * who he is. Of all capabilities CAP_NET_BIND_SERVICE stays, where it was there (root has it; systemd may have given it
 * to another user): permitted and effective, and neither inheritable nor ambient, so that no program that is executed
 * gets it. The bounding set is emptied where we may, and then even a service that runs as root executes programs without
 * any. 0, or -1 with errno.
 */
int privilege_drop(const struct account_ids *ids) __attribute__((warn_unused_result));

/* May this process bind ports below 1024? */
bool privilege_has_ports(void);

/* No capability at all, in no set: for processes that bind nothing. 0, or -1 with errno. */
int privilege_renounce(void) __attribute__((warn_unused_result));

/*
 * What every process does before it reads the network: no new privileges, no core file with passwords in it and no
 * debugger of the same user (but under a sanitizer, whose leak check is one). 0, or -1 with errno.
 */
int privilege_seal(void) __attribute__((warn_unused_result));

/* Close every descriptor from `lowest` up. */
void privilege_close_from(int lowest);

#endif
