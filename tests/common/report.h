/* report: keeps what config_load complains of, as "LINE: what" lines. */
#ifndef C2SD_TESTS_COMMON_REPORT_H
#define C2SD_TESTS_COMMON_REPORT_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/config.h"

static inline void
report_take(const struct config_report *report, const char *file, int line, const char *what)
{
	(void)file;
	buffer_append_format(report->argument, "%d: %s\n", line, what);
}

/* The complaints so far, as a string. */
static inline const char *
report_text(struct buffer *complaints)
{
	buffer_append(complaints, "", 1);
	complaints->end--;
	return (const char *)buffer_bytes(complaints);
}

/* A file of that content where we are; the caller unlinks it. */
static inline void
file_write(char path[static 32], const char *text)
{
	int fd;

	snprintf(path, 32, "c2sd-test.XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

#endif
