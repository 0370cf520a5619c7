#include "common/condition.h"

#include <string.h>

static const char *const condition_names[CONDITION_COUNT] = {
	[CONDITION_NONE] = "none",
	[CONDITION_BAD_FORMAT] = "bad-format",
	[CONDITION_BAD_NAMESPACE_PREFIX] = "bad-namespace-prefix",
	[CONDITION_CONFLICT] = "conflict",
	[CONDITION_CONNECTION_TIMEOUT] = "connection-timeout",
	[CONDITION_HOST_GONE] = "host-gone",
	[CONDITION_HOST_UNKNOWN] = "host-unknown",
	[CONDITION_IMPROPER_ADDRESSING] = "improper-addressing",
	[CONDITION_INTERNAL_SERVER_ERROR] = "internal-server-error",
	[CONDITION_INVALID_NAMESPACE] = "invalid-namespace",
	[CONDITION_INVALID_XML] = "invalid-xml",
	[CONDITION_NOT_AUTHORIZED] = "not-authorized",
	[CONDITION_NOT_WELL_FORMED] = "not-well-formed",
	[CONDITION_POLICY_VIOLATION] = "policy-violation",
	[CONDITION_REMOTE_CONNECTION_FAILED] = "remote-connection-failed",
	[CONDITION_RESOURCE_CONSTRAINT] = "resource-constraint",
	[CONDITION_RESTRICTED_XML] = "restricted-xml",
	[CONDITION_SYSTEM_SHUTDOWN] = "system-shutdown",
	[CONDITION_UNDEFINED_CONDITION] = "undefined-condition",
	[CONDITION_UNSUPPORTED_ENCODING] = "unsupported-encoding",
	[CONDITION_UNSUPPORTED_STANZA_TYPE] = "unsupported-stanza-type",
	[CONDITION_UNSUPPORTED_VERSION] = "unsupported-version",
	[CONDITION_INVALID_FROM] = "invalid-from",
	[CONDITION_RESET] = "reset",
	[CONDITION_SEE_OTHER_HOST] = "see-other-host",
	[CONDITION_UNSUPPORTED_FEATURE] = "unsupported-feature",
};

const char *
condition_name(enum stream_condition condition)
{
	if ((unsigned)condition >= CONDITION_COUNT)
		return "undefined-condition";
	return condition_names[condition];
}

enum stream_condition
condition_find(const char *name, size_t length)
{
	for (unsigned i = CONDITION_NONE + 1; i < CONDITION_COUNT; i++) {
		if (strlen(condition_names[i]) == length && memcmp(condition_names[i], name, length) == 0)
			return (enum stream_condition)i;
	}
	return CONDITION_NONE;
}
