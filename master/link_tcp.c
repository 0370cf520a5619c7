#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "master/link_parts.h"

/* TCP is asked when this much may have arrived, and when nothing was written for a while (milliseconds). */
#define ASK_BYTES 65536
#define ASK_TIME 1000

/* While what was sent again goes in small numbers each of them waits for it. */
#define ASK_SOON 10

/*
 * A machine that has vanished is noticed when it has acknowledged nothing for `dead`: by what we have written, or, on a quiet
 * link, by what TCP asks it then.
 */
static void
dead_set(const struct link *link, int fd)
{
	unsigned milliseconds = link->dead;
	int seconds = (int)(link->dead / 1000), quiet = seconds / 2 > 0 ? seconds / 2 : 1, between = seconds / 8 > 0 ? seconds / 8 : 1;

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &quiet, sizeof quiet);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
}

void
link_tcp_prepare(struct link *link, int fd, int family)
{
	int on = 1;

	link->is_unix = family == AF_UNIX;
	if (link->is_unix)
		return;
	/* Batched by turn: Nagle would only add its 40 ms. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	if (link->dead > 0)
		dead_set(link, fd);
}

/*
 * A UNIX socket that the session manager closes throws away what was not read, and says so before it begins: what it says of
 * the rest is true only if it does not say that afterwards.
 */
static bool
is_reset(struct link *link)
{
	int error = 0;
	socklen_t length = sizeof error;

	if (getsockopt(link->watch.fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != 0)
		link->reset = true;
	return link->reset;
}

/*
 * What TCP has not got acknowledged (a connection that was reset or timed out still knows) has not arrived; what a UNIX socket
 * holds was not read, and it counts more for it than its bytes, so that what is left of what it was given was.
 */
static void
ask(struct link *link)
{
	int unread = 0;

	if (ioctl(link->watch.fd, SIOCOUTQ, &unread) < 0 || (link->is_unix && is_reset(link)))
		return;
	if (link->given > (uint64_t)unread)
		outbox_arrived(&link->outbox, link->given - (uint64_t)unread);
}

/* By TCP's rule; else what waits may be of a connection before this one. */
static bool
is_followed(const struct link *link)
{
	return link->watch.fd >= 0 && link->outbox.waiting > 0 && !link->ack.on && !link_can_resume(link);
}

static void
on_ask(struct timer *timer)
{
	struct link *link = container_of(timer, struct link, ask);

	if (is_followed(link))
		ask(link);
	link_flush(link);
}

void
link_tcp_follow(struct link *link)
{
	if (!is_followed(link))
		return;
	if (link->is_unix || link->outbox.unacknowledged >= ASK_BYTES)
		ask(link);
	if (link->outbox.waiting > 0 && !timer_is_set(&link->ask))
		timer_set(link->loop, &link->ask, link->outbox.window > 0 ? ASK_SOON : ASK_TIME, on_ask);
}

void
link_tcp_settle(struct link *link)
{
	/* What is written again must not arrive after all. */
	static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	if (!is_followed(link))
		return;
	ask(link);
	if (link->outbox.waiting > 0 && !link->is_unix && link->state != LINK_CLOSED)
		setsockopt(link->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}
