/* quiet: a test that says nothing. */
#ifndef C2SD_TESTS_SESSIOND_QUIET_H
#define C2SD_TESTS_SESSIOND_QUIET_H

#include "common/log.h"

static inline void
quiet_sink(enum log_level level, const char *role, const char *line, void *argument)
{
	(void)level;
	(void)role;
	(void)line;
	(void)argument;
}

/* From here on the log goes nowhere. */
static inline void
quiet_log(void)
{
	log_set_sink(quiet_sink, NULL);
}

#endif
