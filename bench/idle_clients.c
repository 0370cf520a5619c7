/*
 * idle-clients: many clients that log in, say that they are there, fetch their roster, and then do nothing.
 *
 *	idle-clients ADDRESS PORT SOURCE HOST FIRST COUNT RESOURCES
 *
 * Client number i (FIRST <= i < FIRST + COUNT) is u<i / RESOURCES>@HOST/r<i % RESOURCES>, with the password `secret`, and
 * connects from the address SOURCE (a loopback address of its own for each of these programs: one has no more than 28,000
 * ports). At most UNDER_WAY of them log in at a time. When the last one has its roster `ready` is printed; at the end of
 * the input the program ends, and all connections with it. One that is lost before that is said and is status 1.
 *
 * Plain iq:auth (XEP-0078): what a login costs is not what is measured here. Of the answers only what marks them is
 * looked at. bench/idle runs it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNDER_WAY 64
#define EVENTS 256

/* Longest part of an answer that marks it. */
#define MARK_MAX 32

enum step {
	STEP_HEADER,		/* our header was sent */
	STEP_LOGIN,		/* the login was sent */
	STEP_ROSTER,		/* presence and the request for the roster were sent */
	STEP_IDLE,
};

struct idler {
	int fd;
	uint8_t step;
	uint8_t seen;			/* bytes of the end of what came that are kept */
	char end[MARK_MAX];		/* so that a mark may be cut anywhere */
};

struct crowd {
	int epoll_fd;
	struct sockaddr_in service;
	struct sockaddr_in source;
	const char *host;
	uint32_t first, count, resources;
	uint32_t started, ready;
	struct idler *idlers;
};

static const char *const marks[] = {
	[STEP_HEADER] = "</stream:features>",
	[STEP_LOGIN] = "id='login'",
	[STEP_ROSTER] = "id='roster'",
};

static void
fail(const char *what)
{
	fprintf(stderr, "idle-clients: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
say(const struct idler *idler, const char *text)
{
	/* A socket that has only just been opened takes this much at once. */
	if (send(idler->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		fail("send");
}

static void
idler_connect(struct crowd *crowd, struct idler *idler)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = idler };
	char text[256];
	int on = 1;

	idler->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (idler->fd < 0)
		fail("socket");
	/* Without it every bind would take a port that no other destination can use. */
	setsockopt(idler->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	setsockopt(idler->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (bind(idler->fd, (struct sockaddr *)&crowd->source, sizeof crowd->source) < 0)
		fail("bind");
	if (connect(idler->fd, (struct sockaddr *)&crowd->service, sizeof crowd->service) < 0)
		fail("connect");
	if (epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, idler->fd, &event) < 0)
		fail("epoll_ctl");
	snprintf(text, sizeof text, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
	    "xmlns:stream='http://etherx.jabber.org/streams' to='%s' version='1.0' xml:lang='en'>", crowd->host);
	say(idler, text);
}

static void
idler_log_in(const struct crowd *crowd, const struct idler *idler)
{
	uint32_t number = crowd->first + (uint32_t)(idler - crowd->idlers);
	char text[256];

	snprintf(text, sizeof text, "<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>u%" PRIu32
	    "</username><password>secret</password><resource>r%" PRIu32 "</resource></query></iq>",
	    number / crowd->resources, number % crowd->resources);
	say(idler, text);
}

static void
crowd_start_one(struct crowd *crowd)
{
	if (crowd->started < crowd->count)
		idler_connect(crowd, &crowd->idlers[crowd->started++]);
}

/* What it waited for has come. */
static void
idler_go_on(struct crowd *crowd, struct idler *idler)
{
	idler->seen = 0;
	switch ((enum step)idler->step++) {
	case STEP_HEADER:
		idler_log_in(crowd, idler);
		break;
	case STEP_LOGIN:
		say(idler, "<presence/><iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
		break;
	case STEP_ROSTER:
		crowd->ready++;
		crowd_start_one(crowd);
		break;
	case STEP_IDLE:
		break;
	}
}

static void
idler_hear(struct crowd *crowd, struct idler *idler)
{
	char bytes[MARK_MAX + 8192];
	size_t seen = idler->seen, mark;
	ssize_t length;

	memcpy(bytes, idler->end, seen);
	length = recv(idler->fd, bytes + seen, sizeof bytes - seen, MSG_DONTWAIT);
	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0)
		fail(length < 0 ? "recv" : "a client was closed");
	if (idler->step == STEP_IDLE)
		return;
	seen += (size_t)length;
	if (memmem(bytes, seen, "type='error'", 12) != NULL || memmem(bytes, seen, "stream:error", 12) != NULL) {
		fprintf(stderr, "idle-clients: refused: %.*s\n", (int)seen, bytes);
		exit(1);
	}
	mark = strlen(marks[idler->step]);
	if (memmem(bytes, seen, marks[idler->step], mark) != NULL) {
		idler_go_on(crowd, idler);
		return;
	}
	idler->seen = (uint8_t)(seen < mark ? seen : mark - 1);
	memcpy(idler->end, bytes + seen - idler->seen, idler->seen);
}

/* Until all are ready and nobody wants us any more. */
static void
crowd_run(struct crowd *crowd)
{
	struct epoll_event input = { .events = EPOLLIN, .data.ptr = NULL };
	bool told = false;

	if (epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0)
		fail("the input is no pipe");
	for (;;) {
		struct epoll_event events[EVENTS];
		int count = epoll_wait(crowd->epoll_fd, events, EVENTS, -1);

		if (count < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == NULL)
				return;
			idler_hear(crowd, events[i].data.ptr);
		}
		if (!told && crowd->ready == crowd->count) {
			told = true;
			puts("ready");
			fflush(stdout);
		}
	}
}

static struct sockaddr_in
address_of(const char *text, unsigned long port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
		fprintf(stderr, "idle-clients: %s: no address\n", text);
		exit(2);
	}
	return address;
}

static void
descriptors_all(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
	struct crowd crowd = { 0 };

	if (argc != 8) {
		fprintf(stderr, "usage: idle-clients ADDRESS PORT SOURCE HOST FIRST COUNT RESOURCES\n");
		return 2;
	}
	crowd.service = address_of(argv[1], strtoul(argv[2], NULL, 10));
	crowd.source = address_of(argv[3], 0);
	crowd.host = argv[4];
	crowd.first = (uint32_t)strtoul(argv[5], NULL, 10);
	crowd.count = (uint32_t)strtoul(argv[6], NULL, 10);
	crowd.resources = (uint32_t)strtoul(argv[7], NULL, 10);
	if (crowd.count == 0 || crowd.resources == 0)
		return 2;
	descriptors_all();
	crowd.idlers = calloc(crowd.count, sizeof crowd.idlers[0]);
	crowd.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (crowd.idlers == NULL || crowd.epoll_fd < 0)
		fail("no memory or descriptors");
	for (unsigned i = 0; i < UNDER_WAY; i++)
		crowd_start_one(&crowd);
	crowd_run(&crowd);
	return 0;
}
