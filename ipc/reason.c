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
		[END_PROXY_FAILED] = "proxy-failed",
		[END_TLS_FAILED] = "tls-failed",
		[END_HANDSHAKE_TIMEOUT] = "handshake-timeout",
		[END_REFUSED] = "refused",
		[END_CROWDED] = "crowded",
		[END_GIVEN_UP] = "given-up",
		[END_FORGOTTEN] = "forgotten",
	};

	return (unsigned)reason < END_REASON_COUNT ? names[reason] : "?";
}

const char *
end_limit_name(enum end_limit limit)
{
	static const char *const names[END_LIMIT_COUNT] = {
		[LIMIT_NONE] = "none",
		[LIMIT_HEADER_BYTES] = "header-bytes",
		[LIMIT_LOGIN_BYTES] = "login-bytes",
		[LIMIT_LOGIN_ELEMENTS] = "login-elements",
		[LIMIT_LOGIN_TOTAL_BYTES] = "login-total-bytes",
		[LIMIT_LOGIN_ATTEMPTS] = "login-attempts",
		[LIMIT_LOGIN_SECONDS] = "login-seconds",
		[LIMIT_STANZA_BYTES] = "stanza-bytes",
		[LIMIT_ELEMENTS] = "elements",
		[LIMIT_DEPTH] = "depth",
		[LIMIT_ATTRIBUTES] = "attributes",
		[LIMIT_IDLE_SECONDS] = "idle-seconds",
		[LIMIT_STALL_SECONDS] = "stall-seconds",
		[LIMIT_UNSENT_BYTES] = "unsent-bytes",
		[LIMIT_HELD_BYTES] = "held-bytes",
		[LIMIT_HANDSHAKE_SECONDS] = "handshake-seconds",
		[LIMIT_DEAD_SECONDS] = "dead-seconds",
	};

	return (unsigned)limit < END_LIMIT_COUNT ? names[limit] : "?";
}
