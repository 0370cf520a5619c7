/*
 * condition: the stream errors of RFC 6120 4.9.3 that c2sd sends, or passes on. Workers send them, the master counts
 * them.
 *
 * They are also the positive returns of everything that judges what a client sends: 0 is well, a positive value is what
 * the client did wrong, a negative errno is that we are broken.
 */
#ifndef C2SD_COMMON_CONDITION_H
#define C2SD_COMMON_CONDITION_H

#include <stddef.h>

enum stream_condition {
	CONDITION_NONE = 0,
	CONDITION_BAD_FORMAT,			/* text between elements */
	CONDITION_BAD_NAMESPACE_PREFIX,		/* a prefix that is not declared */
	CONDITION_CONFLICT,
	CONDITION_CONNECTION_TIMEOUT,
	CONDITION_HOST_GONE,			/* a reload has taken it away */
	CONDITION_HOST_UNKNOWN,
	CONDITION_IMPROPER_ADDRESSING,
	CONDITION_INTERNAL_SERVER_ERROR,
	CONDITION_INVALID_NAMESPACE,
	CONDITION_INVALID_XML,
	CONDITION_NOT_AUTHORIZED,
	CONDITION_NOT_WELL_FORMED,
	CONDITION_POLICY_VIOLATION,
	CONDITION_REMOTE_CONNECTION_FAILED,
	CONDITION_RESOURCE_CONSTRAINT,
	CONDITION_RESTRICTED_XML,
	CONDITION_SYSTEM_SHUTDOWN,
	CONDITION_UNDEFINED_CONDITION,
	CONDITION_UNSUPPORTED_ENCODING,
	CONDITION_UNSUPPORTED_STANZA_TYPE,
	CONDITION_UNSUPPORTED_VERSION,
	/* What only session managers say (doc/link.md, "xmpp"). */
	CONDITION_INVALID_FROM,
	CONDITION_RESET,
	CONDITION_SEE_OTHER_HOST,
	CONDITION_UNSUPPORTED_FEATURE,
	CONDITION_COUNT,
};

/* The element's name in urn:ietf:params:xml:ns:xmpp-streams, for instance "not-well-formed". */
const char *condition_name(enum stream_condition condition);

/* The condition of that name; CONDITION_NONE: there is none. */
enum stream_condition condition_find(const char *name, size_t length);

#endif
