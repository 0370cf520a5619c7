/*
 * notify: what the service manager that started us is told: sd_notify(3)'s protocol, datagrams of NAME=VALUE lines to
 * the UNIX socket (a path, or abstract behind an @) that stands in NOTIFY_SOCKET; and how often it wants to hear.
 *
 * Nothing blocks. A datagram that cannot be sent at once waits for notify_flush; a few can wait, and then the oldest
 * that only describes (STATUS, WATCHDOG) makes room, so that no change of state is lost.
 */
#ifndef C2SD_COMMON_NOTIFY_H
#define C2SD_COMMON_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#define NOTIFY_TEXT_MAX 192
#define NOTIFY_WAITING_MAX 8

struct notify {
	int fd;
	struct sockaddr_un address;
	socklen_t length;		/* 0: nobody wants to know, so a struct of zeroes is one that is not open */
	unsigned waiting;
	char texts[NOTIFY_WAITING_MAX][NOTIFY_TEXT_MAX];
};

/*
 * `target` is the value of NOTIFY_SOCKET; NULL or empty: nobody wants to know, and nothing will be said. 0, or a negative
 * errno: -EINVAL, it is no address that we know.
 */
int notify_open(struct notify *notify, const char *target) __attribute__((warn_unused_result));
void notify_close(struct notify *notify);

static inline bool
notify_is_open(const struct notify *notify)
{
	return notify->length > 0;
}

/* Say it, behind what waits. Longer texts are cut. */
void notify_say(struct notify *notify, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Send what waits, as far as the other side takes it. True: nothing waits any more. */
bool notify_flush(struct notify *notify);

/*
 * How often, in microseconds, the manager wants to hear WATCHDOG=1 of process `pid`: the values of WATCHDOG_USEC and
 * WATCHDOG_PID (NULL: not set). 0: never.
 */
uint64_t notify_watchdog(const char *usec, const char *process, pid_t pid);

#endif
