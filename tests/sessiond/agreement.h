/*
 * agreement: does the session manager read what the worker writes? Both write what they have read in canonical form, so
 * that reading and writing it once more must change no byte. An element that one lets through and the other takes for
 * broken would be a client's means to break the link.
 */
#ifndef C2SD_TESTS_SESSIOND_AGREEMENT_H
#define C2SD_TESTS_SESSIOND_AGREEMENT_H

#include <stdbool.h>
#include <stddef.h>

struct agreement {
	unsigned count;		/* elements that were compared */
	bool failed;		/* one was not agreed upon; said on stderr */
};

/* For transcript_listener: one element that the stream wrote; `argument` is the agreement. */
void agreement_check(void *argument, const char *bytes, size_t length);

#endif
