#include "dialect/condition.h"

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
};

const char *
condition_name(enum stream_condition condition)
{
	if ((unsigned)condition >= CONDITION_COUNT)
		return "undefined-condition";
	return condition_names[condition];
}
