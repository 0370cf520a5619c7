#include "common/privilege.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

bool
privilege_find(struct account_ids *ids_r, const char *user, const char *group)
{
	const struct passwd *passwd;
	const struct group *entry;

	errno = 0;
	passwd = getpwnam(user);
	if (passwd == NULL)
		return false;
	ids_r->uid = passwd->pw_uid;
	ids_r->gid = passwd->pw_gid;
	if (group == NULL)
		return true;
	errno = 0;
	entry = getgrnam(group);
	if (entry == NULL)
		return false;
	ids_r->gid = entry->gr_gid;
	return true;
}

/* Each compiler says it in its own way. */
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

/* Not even the saved ids may lead back. */
static int
no_way_back(const struct account_ids *ids)
{
	uid_t real, effective, saved;

	if (getresuid(&real, &effective, &saved) < 0)
		return -1;
	if (real != ids->uid || effective != ids->uid || saved != ids->uid || setuid(0) == 0 ||
	    (ids->gid != 0 && setgid(0) == 0)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

int
privilege_drop(const struct account_ids *ids)
{
	if (geteuid() != 0 || ids->uid == 0)
		return 0;
	if (setgroups(1, &ids->gid) < 0 || setresgid(ids->gid, ids->gid, ids->gid) < 0 ||
	    setresuid(ids->uid, ids->uid, ids->uid) < 0)
		return -1;
	return no_way_back(ids);
}

int
privilege_seal(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return UNDER_SANITIZER ? 0 : prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void
privilege_close_from(int lowest)
{
	closefrom(lowest);
}
