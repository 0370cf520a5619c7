#include "common/privilege.h"

#include <bsd/unistd.h>
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/sanitizer.h"

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

/* libcap-ng has reasons of its own, and no errno with most of them. */
static int
capng_result(int result)
{
	if (result >= 0)
		return 0;
	errno = EPERM;
	return -1;
}

/* Give up every capability, but for binding low ports where that is wanted and there. */
static int
capabilities_cut(bool keep_ports)
{
	if (capng_result(capng_get_caps_process()) < 0)
		return -1;
	keep_ports = keep_ports && capng_have_capability(CAPNG_PERMITTED, CAP_NET_BIND_SERVICE);
	capng_clear(CAPNG_SELECT_ALL);
	/* First of all: nothing may be ambient that is not permitted. */
	if (capng_result(capng_apply(CAPNG_SELECT_AMBIENT)) < 0)
		return -1;
	if (keep_ports)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_BIND_SERVICE);
	return capng_result(capng_apply(CAPNG_SELECT_CAPS));
}

/* What no program that we execute can get, whatever its file says. Only who has CAP_SETPCAP may cut that. */
static int
bounding_set_cut(void)
{
	if (capng_result(capng_get_caps_process()) < 0)
		return -1;
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		return 0;
	capng_clear(CAPNG_SELECT_BOUNDS);
	return capng_result(capng_apply(CAPNG_SELECT_BOUNDS));
}

/* Capabilities would go with the ids: they are cut one by one afterwards. */
static int
ids_change(const struct account_ids *ids)
{
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(1, &ids->gid) < 0 ||
	    setresgid(ids->gid, ids->gid, ids->gid) < 0 || setresuid(ids->uid, ids->uid, ids->uid) < 0)
		return -1;
	return prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

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
	bool change = geteuid() == 0 && ids->uid != 0;

	if (bounding_set_cut() < 0 || (change && ids_change(ids) < 0) || capabilities_cut(true) < 0)
		return -1;
	return change ? no_way_back(ids) : 0;
}

bool
privilege_has_ports(void)
{
	return capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_BIND_SERVICE) == 1;
}

int
privilege_renounce(void)
{
	return bounding_set_cut() < 0 ? -1 : capabilities_cut(false);
}

int
privilege_seal(void)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -1;
	return UNDER_SANITIZER ? 0 : prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void
privilege_close_from(int lowest)
{
	closefrom(lowest);
}
