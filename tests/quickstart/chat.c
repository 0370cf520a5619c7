/*
 * chat: what `quickstart --check` does as two users: log both in by jabber:iq:auth behind STARTTLS, send a message each
 * way, see that it arrives, close both streams.
 *
 *	chat port					print a TCP port of 127.0.0.1 that is free now
 *	chat PORT HOST USER PASSWORD USER PASSWORD	0, or one line on standard error that says what went wrong
 *
 * It knows as little XML as it needs: it waits for pieces of text that a right answer holds and a wrong one does not. It
 * goes on without TLS never, and asks of the certificate that it is for the host, and not that anybody has signed it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* For everything together: a first login hashes a password, and the machine may be slow. */
#define PATIENCE 20000

struct user {
	const char *name;
	const char *password;
	int fd;
	SSL *tls;	/* NULL: not yet */
	size_t length;
	char received[65536];
};

static long long deadline;

static void __attribute__((noreturn, format(printf, 1, 2)))
fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static long long
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static struct sockaddr_in
loopback(unsigned port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void
print_free_port(void)
{
	struct sockaddr_in address = loopback(0);
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		fail("there is no free port");
	close(fd);
	printf("%u\n", ntohs(address.sin_port));
}

static void
user_connect(struct user *user, unsigned port)
{
	struct sockaddr_in address = loopback(port);
	struct timeval patience = { .tv_sec = PATIENCE / 1000 };

	user->fd = socket(AF_INET, SOCK_STREAM, 0);
	/* A record need not hold data: reading it may take another, and must not wait for ever. */
	if (user->fd < 0 || setsockopt(user->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 || connect(user->fd, (struct sockaddr *)&address, sizeof address) < 0)
		fail("%s cannot connect to 127.0.0.1:%u", user->name, port);
}

static void __attribute__((format(printf, 2, 3)))
user_say(const struct user *user, const char *format, ...)
{
	char text[2048];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof text)
		fail("%s has too much to say", user->name);
	if (user->tls != NULL ? SSL_write(user->tls, text, length) != length :
	    send(user->fd, text, (size_t)length, MSG_NOSIGNAL) != length)
		fail("%s cannot send", user->name);
}

static void
user_wait(const struct user *user, const char *awaited)
{
	struct pollfd wait = { .fd = user->fd, .events = POLLIN };
	long long left = deadline - now();

	if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
		fail("%s waits for %s in vain", user->name, awaited);
}

/* Read once. False: the other side has closed. */
static bool
user_read(struct user *user, const char *awaited)
{
	char *place = user->received + user->length;
	size_t room = sizeof user->received - 1 - user->length;
	ssize_t length;

	if (user->tls == NULL || SSL_pending(user->tls) == 0)
		user_wait(user, awaited);
	length = user->tls != NULL ? SSL_read(user->tls, place, (int)room) : recv(user->fd, place, room, 0);
	if (length <= 0)
		return false;
	user->length += (size_t)length;
	user->received[user->length] = '\0';
	return true;
}

/* Wait for that text, and forget everything up to its end. */
static void
user_await(struct user *user, const char *text)
{
	char *found;

	while ((found = strstr(user->received, text)) == NULL) {
		if (!user_read(user, text))
			fail("%s waits for %s, and the connection is closed: %.300s", user->name, text, user->received);
	}
	found += strlen(text);
	user->length -= (size_t)(found - user->received);
	memmove(user->received, found, user->length + 1);
}

static void
user_open(struct user *user, const char *host)
{
	user_say(user, "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='%s' "
	    "version='1.0'>", host);
	user_await(user, "<stream:features");
}

static void
certificate_check(const struct user *user, const char *host)
{
	X509 *certificate = SSL_get1_peer_certificate(user->tls);

	if (certificate == NULL || X509_check_host(certificate, host, 0, 0, NULL) != 1)
		fail("the certificate is not for %s", host);
	X509_free(certificate);
}

static void
user_encrypt(struct user *user, char *host)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	user_await(user, "<starttls");
	user_await(user, "</stream:features>");
	user_say(user, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
	user_await(user, "<proceed");
	user_await(user, ">");
	if (user->length > 0)
		fail("%s gets plain text where TLS should be: %.300s", user->name, user->received);
	user->tls = SSL_new(context);
	SSL_CTX_free(context);
	/* What comes with the handshake's records is no data: who waits for data reads again. */
	if (user->tls == NULL || SSL_set_fd(user->tls, user->fd) != 1 || SSL_set_tlsext_host_name(user->tls, host) != 1 ||
	    SSL_connect(user->tls) != 1)
		fail("%s gets no TLS", user->name);
	certificate_check(user, host);
}

static void
user_log_in(struct user *user, unsigned port, char *host)
{
	user_connect(user, port);
	user_open(user, host);
	user_encrypt(user, host);
	user_open(user, host);
	user_say(user, "<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>%s</username>"
	    "<password>%s</password><resource>check</resource></query></iq>", user->name, user->password);
	user_await(user, "type='result'");
	/* Our own presence comes back once the session manager has taken it: messages find us from then on. */
	user_say(user, "<presence/>");
	user_await(user, "<presence");
}

static void
message_pass(struct user *from, struct user *to, const char *host)
{
	char body[256];

	snprintf(body, sizeof body, "<body>from %s to %s</body>", from->name, to->name);
	user_say(from, "<message to='%s@%s' type='chat'>%s</message>", to->name, host, body);
	user_await(to, body);
}

static void
user_leave(struct user *user)
{
	user_say(user, "</stream:stream>");
	user_await(user, "</stream:stream>");
	while (user_read(user, "the end of the connection"))
		user->length = 0;
	SSL_free(user->tls);
	close(user->fd);
}

int
main(int argc, char **argv)
{
	static struct user one, other;
	unsigned port;

	if (argc == 2 && strcmp(argv[1], "port") == 0) {
		print_free_port();
		return 0;
	}
	if (argc != 7)
		fail("usage: chat port | chat PORT HOST USER PASSWORD USER PASSWORD");
	deadline = now() + PATIENCE;
	port = (unsigned)strtoul(argv[1], NULL, 10);
	one.name = argv[3];
	one.password = argv[4];
	other.name = argv[5];
	other.password = argv[6];
	user_log_in(&one, port, argv[2]);
	user_log_in(&other, port, argv[2]);
	message_pass(&one, &other, argv[2]);
	message_pass(&other, &one, argv[2]);
	user_leave(&one);
	user_leave(&other);
	return 0;
}
