/*
 * spawned: a program for test_spawn to start. Says on descriptor 3 which descriptors it has, which signals it blocks,
 * what its arguments were, what its first argument asks for, and what it is told on the descriptors from 4 up.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUT 3

static void
say_descriptors(void)
{
	for (int fd = 0; fd < 64; fd++) {
		char link[64], path[32];
		ssize_t length;

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		length = readlink(path, link, sizeof link - 1);
		if (length < 0)
			continue;
		link[length] = '\0';
		dprintf(OUT, fd < 2 ? "%d=%s " : "%d ", fd, link);
	}
}

static void
say_mask(void)
{
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int number = 1; number < 32; number++) {
		if (sigismember(&mask, number) == 1)
			dprintf(OUT, "blocked=%d ", number);
	}
}

static void
say_limit(const char *name, int resource)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) == 0)
		dprintf(OUT, "%s=%lld/%lld", name, (long long)limit.rlim_cur, (long long)limit.rlim_max);
}

static void
say(const char *what)
{
	if (strcmp(what, "limits") == 0) {
		say_limit("core", RLIMIT_CORE);
		say_limit(" file", RLIMIT_FSIZE);
		say_limit(" processes", RLIMIT_NPROC);
		say_limit(" memory", RLIMIT_AS);
	} else if (strcmp(what, "environment") == 0) {
		for (char **variable = environ; *variable != NULL; variable++)
			dprintf(OUT, "%s ", *variable);
	} else if (strcmp(what, "umask") == 0) {
		dprintf(OUT, "umask=%03o", (unsigned)umask(0));
	}
}

int
main(int argc, char **argv)
{
	say_descriptors();
	say_mask();
	for (int i = 0; i < argc; i++)
		dprintf(OUT, "[%s]", argv[i]);
	if (argc > 1)
		say(argv[1]);
	for (int fd = OUT + 1; fd < OUT + 4; fd++) {
		char text[32];
		ssize_t length = read(fd, text, sizeof text);

		if (length > 0)
			dprintf(OUT, " %.*s", (int)length, text);
	}
	return EXIT_SUCCESS;
}
