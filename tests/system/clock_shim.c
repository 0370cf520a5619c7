/*
 * clock_shim: a system clock that jumps, for a process that is started with this in LD_PRELOAD. The offset is eight bytes
 * of the file that C2SD_CLOCK names, in seconds; the test changes it. Mapped once, so that it works where no file can be
 * opened any more. Clocks that never jump are left alone, but with C2SD_CLOCK_ALL in the environment, where what comes once
 * in hours is waited for: CLOCK_MONOTONIC then goes forward likewise.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;
static int all;
static int (*real_clock_gettime)(clockid_t clock, struct timespec *now);

__attribute__((constructor)) static void
offset_map(void)
{
	const char *path = getenv("C2SD_CLOCK");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	void *place = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	if (place == MAP_FAILED)
		abort();
	offset = place;
	all = getenv("C2SD_CLOCK_ALL") != NULL;
	*(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
}

static int
clock_read(clockid_t clock, struct timespec *now)
{
	if (real_clock_gettime == NULL || real_clock_gettime(clock, now) < 0)
		return -1;
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ||
	    (all && clock == CLOCK_MONOTONIC))
		now->tv_sec += *offset;
	return 0;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	return clock_read(clock, now);
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec time = { 0 };

	(void)zone;
	if (clock_read(CLOCK_REALTIME, &time) < 0)
		return -1;
	now->tv_sec = time.tv_sec;
	now->tv_usec = time.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *now)
{
	struct timespec time_now = { 0 };

	clock_read(CLOCK_REALTIME, &time_now);
	if (now != NULL)
		*now = time_now.tv_sec;
	return time_now.tv_sec;
}
