/*
 * Whatever comes before or in a handshake, however it is cut: the connection fails or waits, and nothing of it stays
 * behind. The first byte says where the rest is cut in two.
 */
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/dialect/fuzz.h"
#include "tests/worker/tls_peer.h"

static struct tls_context *
context_get(void)
{
	static struct tls_context *context;
	struct tls_settings settings = peer_settings;
	struct made ec, rsa;

	if (context != NULL)
		return context;
	must(tls_init() == 0);
	settings.ask_client_certificates = true;
	made_init(&ec, MADE_EC, "a.example", "DNS:a.example");
	made_init(&rsa, MADE_RSA, "b.example", "DNS:*.b.example");
	context = peer_context(&settings, peer_tickets(1, 2), &ec, &rsa, NULL);
	made_deinit(&ec);
	made_deinit(&rsa);
	return context;
}

static int
shake(struct tls *tls)
{
	int result = tls_handshake(tls);

	must(result >= TLS_READY && result <= TLS_CLOSED);
	must(result != TLS_FAILED || tls_error(tls) != NULL);
	must(ERR_peek_error() == 0);
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_context *context = context_get();
	uint8_t bytes[64];
	struct tls *tls;
	size_t cut;
	int fds[2], result;

	if (size < 1 || size > 65536)
		return 0;
	cut = (size - 1) * data[0] / 255;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	tls = tls_new(context, fds[0], NULL);
	must(tls != NULL);
	must(send(fds[1], data + 1, cut, 0) == (ssize_t)cut);
	result = shake(tls);
	if (result == TLS_WANTS_READ) {
		must(send(fds[1], data + 1 + cut, size - 1 - cut, MSG_NOSIGNAL) == (ssize_t)(size - 1 - cut));
		shutdown(fds[1], SHUT_WR);
		/* One recv at a time; the end comes to be seen. */
		for (int i = 0; result == TLS_WANTS_READ && i < 10; i++)
			result = shake(tls);
		must(result == TLS_CLOSED || result == TLS_FAILED);
	}
	must(tls_facts(tls) == NULL && tls_version(tls) == 0);
	must(result == TLS_WANTS_WRITE || tls_read(tls, bytes, sizeof bytes) <= 0);
	tls_close(tls);
	tls_free(&tls);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
