#include "ipc/reason.h"

const char *
end_reason_name(enum end_reason reason)
{
	static const char *const names[END_REASON_COUNT] = {
		[END_CLOSED] = "closed",
		[END_LOST] = "lost",
		[END_STREAM_ERROR] = "stream-error",
		[END_NOT_AUTHORIZED] = "not-authorized",
		[END_LOGIN_TIMEOUT] = "login-timeout",
		[END_IDLE_TIMEOUT] = "idle-timeout",
		[END_TOO_SLOW] = "too-slow",
		[END_DISCONNECTED] = "disconnected",
		[END_REPLACED] = "replaced",
		[END_KICKED] = "kicked",
		[END_SHUTDOWN] = "shutdown",
		[END_HOLD] = "hold",
		[END_LINK_LOST] = "link-lost",
		[END_WORKER_DIED] = "worker-died",
		[END_BROKEN] = "broken",
		[END_RETIRED] = "retired",
		[END_LOGIN_FAILED] = "login-failed",
	};

	return (unsigned)reason < END_REASON_COUNT ? names[reason] : "?";
}
