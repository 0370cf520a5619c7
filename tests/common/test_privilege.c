/* privilege: who drops root cannot come back. What needs root is left out without it. */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/privilege.h"
#include "common/sanitizer.h"
#include "tests/dialect/tap.h"

/* Run in a process of its own, because there is no way back; 0 is well. */
static void
in_child(int (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(accounts_are_found)
{
	struct account_ids ids = { 1, 1 };

	ck_assert(privilege_find(&ids, "root", NULL));
	ck_assert_uint_eq(ids.uid, 0);
	ck_assert_uint_eq(ids.gid, 0);
	ck_assert(privilege_find(&ids, "root", "daemon"));
	ck_assert_uint_ne(ids.gid, 0);
	ck_assert(!privilege_find(&ids, "no-such-user-here", NULL));
	ck_assert(!privilege_find(&ids, "root", "no-such-group-here"));
}
END_TEST

#define PORTS (UINT64_C(1) << CAP_NET_BIND_SERVICE)

struct sets {
	uint64_t inheritable, permitted, effective, bounding, ambient;
};

/* What the kernel says about this process. */
static struct sets
sets_read(void)
{
	struct sets sets = { 1, 1, 1, 1, 1 };
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];

	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		sscanf(line, "CapInh: %" SCNx64, &sets.inheritable);
		sscanf(line, "CapPrm: %" SCNx64, &sets.permitted);
		sscanf(line, "CapEff: %" SCNx64, &sets.effective);
		sscanf(line, "CapBnd: %" SCNx64, &sets.bounding);
		sscanf(line, "CapAmb: %" SCNx64, &sets.ambient);
	}
	if (file != NULL)
		fclose(file);
	return sets;
}

/* Nothing but these, and nothing of them for a program that is executed. */
static bool
has_only(uint64_t capabilities)
{
	struct sets sets = sets_read();

	return sets.permitted == capabilities && sets.effective == capabilities && sets.inheritable == 0 &&
	    sets.ambient == 0 && privilege_has_ports() == (capabilities == PORTS);
}

static bool
may_bind(void)
{
	return geteuid() == 0 && (sets_read().permitted & PORTS) != 0;
}

static int
drop(void)
{
	struct account_ids ids;
	const gid_t groups[] = { 0, 1, 2 };
	uid_t uids[3];
	gid_t gids[3], left[8];

	if (setgroups(3, groups) < 0 || !privilege_find(&ids, "nobody", NULL) || ids.uid == 0 || ids.gid == 0)
		return 1;
	if (privilege_drop(&ids) < 0)
		return 2;
	if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
		return 3;
	for (unsigned i = 0; i < 3; i++) {
		if (uids[i] != ids.uid || gids[i] != ids.gid)
			return 4;
	}
	if (getgroups(8, left) != 1 || left[0] != ids.gid)
		return 5;
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0 || setgroups(3, groups) == 0)
		return 6;
	/* Once more does nothing, and is no error. */
	return privilege_drop(&ids) == 0 ? 0 : 7;
}

static int
drop_and_look(void)
{
	struct account_ids ids;
	uint64_t wanted = may_bind() ? PORTS : 0;

	if (!privilege_find(&ids, "nobody", NULL) || privilege_drop(&ids) < 0)
		return 1;
	if (!has_only(wanted) || sets_read().bounding != 0)
		return 2;
	/* Once more takes nothing away. */
	if (privilege_drop(&ids) < 0 || !has_only(wanted))
		return 3;
	return privilege_renounce() == 0 && has_only(0) ? 0 : 4;
}

START_TEST(low_ports_are_what_stays)
{
	if (geteuid() == 0)
		in_child(drop_and_look);
}
END_TEST

/* As a service manager does it that is told of a user and of ambient capabilities. */
static int
become_ambient(const struct account_ids *ids)
{
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(ids->gid, ids->gid, ids->gid) < 0 || setresuid(ids->uid, ids->uid, ids->uid) < 0)
		return 1;
	capng_clear(CAPNG_SELECT_CAPS);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_NET_BIND_SERVICE, CAP_KILL, -1);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) < 0)
		return 2;
	return sets_read().ambient == (PORTS | UINT64_C(1) << CAP_KILL) ? 0 : 3;
}

static int
drop_ambient(void)
{
	struct account_ids ids, self;
	int result;

	if (!privilege_find(&ids, "nobody", NULL))
		return 10;
	result = become_ambient(&ids);
	if (result != 0)
		return result;
	self = (struct account_ids){ geteuid(), getegid() };
	return privilege_drop(&self) == 0 && has_only(PORTS) ? 0 : 11;
}

START_TEST(ambient_capabilities_do_not_stay_ambient)
{
	if (may_bind())
		in_child(drop_ambient);
}
END_TEST

/* Without root there is nothing to give up, which is no error. */
static int
drop_without_root(void)
{
	struct account_ids ids, root = { 0, 0 };

	if (geteuid() == 0 && (!privilege_find(&ids, "nobody", NULL) || setresuid(ids.uid, ids.uid, ids.uid) < 0))
		return 1;
	if (privilege_drop(&root) < 0 || geteuid() == 0 || !has_only(0))
		return 2;
	return privilege_renounce() == 0 && has_only(0) ? 0 : 3;
}

START_TEST(who_is_nobody_stays_nobody)
{
	in_child(drop_without_root);
}
END_TEST

/* A service that is told to run as root: it, and all that it executes, has no power of root but its user's number. */
static int
drop_to_root(void)
{
	struct account_ids root = { 0, 0 };
	uint64_t wanted = may_bind() ? PORTS : 0;

	if (privilege_drop(&root) < 0 || !has_only(wanted) || sets_read().bounding != 0)
		return 1;
	return geteuid() == 0 && setresuid(1, 1, 1) < 0 ? 0 : 2;
}

START_TEST(root_without_capabilities)
{
	if (geteuid() == 0)
		in_child(drop_to_root);
}
END_TEST

START_TEST(root_is_gone_for_good)
{
	if (geteuid() == 0)
		in_child(drop);
}
END_TEST

static int
seal(void)
{
	struct rlimit core;

	if (privilege_seal() < 0)
		return 1;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur != 0 || core.rlim_max != 0)
		return 3;
	return UNDER_SANITIZER || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 4;
}

START_TEST(sealed_gets_no_new_privileges)
{
	in_child(seal);
}
END_TEST

static int
close_from(void)
{
	int fds[2];

	if (pipe(fds) < 0)
		return 1;
	privilege_close_from(fds[1]);
	if (write(fds[1], "", 1) >= 0 || errno != EBADF)
		return 2;
	return close(fds[0]) == 0 ? 0 : 3;
}

START_TEST(descriptors_are_closed_from_there)
{
	in_child(close_from);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("privilege");
	TCase *tests = tcase_create("privilege");

	tcase_add_test(tests, accounts_are_found);
	tcase_add_test(tests, root_is_gone_for_good);
	tcase_add_test(tests, low_ports_are_what_stays);
	tcase_add_test(tests, ambient_capabilities_do_not_stay_ambient);
	tcase_add_test(tests, who_is_nobody_stays_nobody);
	tcase_add_test(tests, root_without_capabilities);
	tcase_add_test(tests, sealed_gets_no_new_privileges);
	tcase_add_test(tests, descriptors_are_closed_from_there);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
