/*
 * reason: why a client ends. One list for both processes, the log and c2sctl; each client ends with exactly one of them.
 * Where a limit of the configuration ended it, that is said as well, by the name of the option.
 */
#ifndef C2SD_IPC_REASON_H
#define C2SD_IPC_REASON_H

#include <stdint.h>

enum end_reason {
	END_CLOSED,		/* the client closed its stream */
	END_LOST,		/* its connection was cut or reset */
	END_STREAM_ERROR,	/* it broke a rule of the stream */
	END_NOT_AUTHORIZED,	/* it sent something else before it had logged in */
	END_LOGIN_TIMEOUT,	/* it did not log in in time */
	END_IDLE_TIMEOUT,	/* it was silent for too long */
	END_TOO_SLOW,		/* it does not read what is sent to it */
	END_DISCONNECTED,	/* the session manager ended its session */
	END_REPLACED,		/* the session manager ended it, its address having been given to a later login */
	END_KICKED,		/* the operator ended it */
	END_SHUTDOWN,		/* the service ends */
	END_HOLD,		/* the link was away for longer than clients are held */
	END_LINK_LOST,		/* the link was lost with its login, or registration, on the way */
	END_WORKER_DIED,	/* its worker is gone */
	END_BROKEN,		/* we had no memory for it */
	END_RETIRED,		/* its worker retires, and it did not leave by itself in that time */
	END_LOGIN_FAILED,	/* its logins were refused too often */
	END_PROXY_FAILED,	/* it came through a proxy, and its PROXY header was none */
	END_TLS_FAILED,		/* its TLS was wrong, or was no TLS; or we have none for it */
	END_HANDSHAKE_TIMEOUT,	/* its TLS handshake took too long, or never began */
	END_REFUSED,		/* it may not connect: from its address, or now */
	END_CROWDED,		/* it had not logged in, and made room for somebody who came later */
	END_GIVEN_UP,		/* the session manager broke each time that it was sent a packet of it */
	END_FORGOTTEN,		/* the session manager does not know its session any more */
	END_REASON_COUNT,
};

/* Which of <limits/> ended a client (c2sd.xml(5)). */
enum end_limit {
	LIMIT_NONE,
	LIMIT_HEADER_BYTES,
	LIMIT_LOGIN_BYTES,
	LIMIT_LOGIN_ELEMENTS,
	LIMIT_LOGIN_TOTAL_BYTES,
	LIMIT_LOGIN_ATTEMPTS,
	LIMIT_LOGIN_SECONDS,
	LIMIT_STANZA_BYTES,
	LIMIT_ELEMENTS,
	LIMIT_DEPTH,
	LIMIT_ATTRIBUTES,
	LIMIT_IDLE_SECONDS,
	LIMIT_STALL_SECONDS,
	LIMIT_UNSENT_BYTES,
	LIMIT_HELD_BYTES,
	LIMIT_HANDSHAKE_SECONDS,
	LIMIT_DEAD_SECONDS,
	END_LIMIT_COUNT,
};

/* "idle-timeout", for the log. */
const char *end_reason_name(enum end_reason reason);

/* "stanza-bytes", the option; "none". */
const char *end_limit_name(enum end_limit limit);

#endif
