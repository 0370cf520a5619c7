/* privilege: who drops root cannot come back. What needs root is left out without it. */
#include <errno.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/privilege.h"
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

START_TEST(root_is_gone_for_good)
{
	if (geteuid() == 0)
		in_child(drop);
}
END_TEST

static int
seal(void)
{
	if (privilege_seal() < 0)
		return 1;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 2;
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
	tcase_add_test(tests, sealed_gets_no_new_privileges);
	tcase_add_test(tests, descriptors_are_closed_from_there);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
