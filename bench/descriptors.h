/* descriptors: as many as this process may have. */
#ifndef C2SD_BENCH_DESCRIPTORS_H
#define C2SD_BENCH_DESCRIPTORS_H

#include <sys/resource.h>

static inline void
descriptors_all(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

#endif
