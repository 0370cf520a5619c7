#include "master/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"

/* A flood of connections must not keep the loop from everything else. */
#define ACCEPTS_PER_TURN 64

/* What a kernel may have accepted for a listener: the greatest backlog that can be configured, and one more. */
#define QUEUE_MAX 65536

/* bgpd's answer to EMFILE: somebody has to go before somebody can come. */
#define EXHAUSTED_PAUSE 1000

static void
listener_wants(struct listener *listener)
{
	bool accepting = !listener->paused && !timer_is_set(&listener->pause);

	watch_change(listener->loop, &listener->watch, accepting ? EPOLLIN : 0);
}

static void
on_pause_over(struct timer *timer)
{
	listener_wants(container_of(timer, struct listener, pause));
}

static void
descriptors_exhausted(struct listener *listener, int error)
{
	if (!listener->exhausted)
		log_error("listener %s slowed error=\"%s\"", listener->name, strerror(error));
	listener->exhausted = true;
	timer_set(listener->loop, &listener->pause, EXHAUSTED_PAUSE, on_pause_over);
	listener_wants(listener);
}

/* False when there is nothing more to accept now. */
static bool
accept_one(struct listener *listener)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof address;
	struct peer peer;
	int fd = accept4(listener->watch.fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		listener->exhausted = false;
		peer_from_sockaddr(&peer, &address);
		listener->on_accept(listener, fd, &peer);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		descriptors_exhausted(listener, errno);
		return false;
	}
	/* Who came has gone again: accept(2) passes on the network's errors of that one connection. */
	return errno != EAGAIN;
}

static void
on_ready(struct watch *watch, uint32_t events)
{
	struct listener *listener = container_of(watch, struct listener, watch);

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_PER_TURN && !listener->paused && listener->watch.fd >= 0; i++) {
		if (!accept_one(listener))
			return;
	}
}

static int
open_socket(const struct addrinfo *info, int backlog)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0, error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	/* :: means every address, whatever the machine's default is. */
	if (info->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, backlog) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

const char *
listener_name(char *name, const char *address, uint16_t port)
{
	struct in6_addr in6;
	char canonical[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET6, address, &in6) == 1)
		address = inet_ntop(AF_INET6, &in6, canonical, sizeof canonical);
	snprintf(name, LISTENER_NAME_SIZE, strchr(address, ':') ? "[%.64s]:%u" : "%.64s:%u", address, port);
	return name;
}

bool
listener_is_at(const struct listener *listener, const char *address, uint16_t port)
{
	char name[LISTENER_NAME_SIZE];

	return listener->watch.fd >= 0 && strcmp(listener->name, listener_name(name, address, port)) == 0;
}

void
listener_set_backlog(struct listener *listener, int backlog)
{
	if (listener->backlog != backlog && listen(listener->watch.fd, backlog) < 0)
		log_warning("listener %s backlog-kept error=\"%s\"", listener->name, strerror(errno));
	listener->backlog = backlog;
}

void
listener_empty(struct listener *listener)
{
	for (unsigned i = 0; i < QUEUE_MAX && listener->watch.fd >= 0; i++) {
		if (!accept_one(listener))
			return;
	}
}

static void
listener_set_address(struct listener *listener, const char *address, uint16_t port, int backlog)
{
	snprintf(listener->address, sizeof listener->address, "%s", address);
	listener->port = port;
	listener->backlog = backlog;
	listener_name(listener->name, address, port);
}

/* NULL: it is not numeric. */
static struct addrinfo *
address_parse(const char *address, uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE };
	struct addrinfo *info;
	char service[8];

	snprintf(service, sizeof service, "%u", port);
	return getaddrinfo(address, service, &hints, &info) == 0 ? info : NULL;
}

bool
listener_claim(struct listener *listener, struct activation *activation, const char *address, uint16_t port, int backlog)
{
	struct addrinfo *info = activation->count > 0 ? address_parse(address, port) : NULL;
	int fd = -1;

	if (info != NULL) {
		fd = activation_claim(activation, info->ai_addr);
		freeaddrinfo(info);
	}
	if (fd < 0)
		return false;
	listener_set_address(listener, address, port, backlog);
	/* For a socket that listens it changes the backlog and nothing else. */
	if (listen(fd, backlog) < 0)
		log_warning("listener %s unchanged backlog=%d error=\"%s\"", listener->name, backlog, strerror(errno));
	listener->inherited = true;
	listener->watch.fd = fd;
	return true;
}

bool
listener_take_next(struct listener *listener, struct activation *activation)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof address;
	char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "0";
	int fd = activation_next(activation);

	if (fd < 0)
		return false;
	if (getsockname(fd, (struct sockaddr *)&address, &length) == 0)
		getnameinfo((struct sockaddr *)&address, length, host, sizeof host, service, sizeof service,
		    NI_NUMERICHOST | NI_NUMERICSERV);
	listener_set_address(listener, host, (uint16_t)atoi(service), SOMAXCONN);
	listener->inherited = true;
	listener->watch.fd = fd;
	return true;
}

int
listener_open(struct listener *listener, const char *address, uint16_t port, int backlog)
{
	struct addrinfo *info = address_parse(address, port);
	int fd;

	listener->watch.fd = -1;
	listener_set_address(listener, address, port, backlog);
	if (info == NULL)
		return -EADDRNOTAVAIL;
	fd = open_socket(info, backlog);
	freeaddrinfo(info);
	if (fd < 0)
		return fd;
	listener->watch.fd = fd;
	return 0;
}

int
listener_start(struct listener *listener, struct loop *loop)
{
	listener->loop = loop;
	return watch_add(loop, &listener->watch, listener->watch.fd, listener->paused ? 0 : EPOLLIN, on_ready);
}

void
listener_pause(struct listener *listener, bool paused)
{
	listener->paused = paused;
	if (listener->loop != NULL)
		listener_wants(listener);
}

void
listener_close(struct listener *listener)
{
	int fd = listener->watch.fd;

	if (listener->loop != NULL) {
		timer_clear(listener->loop, &listener->pause);
		watch_remove(listener->loop, &listener->watch);
	}
	listener->watch.fd = -1;
	if (fd >= 0)
		close(fd);
}
