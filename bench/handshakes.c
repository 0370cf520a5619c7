/*
 * bench-handshakes: what a TLS handshake costs a server that does nothing else, as something to compare with.
 *
 *	bench-handshakes [--hold] CHAIN KEY COUNT
 *
 * Binds a free port of 127.0.0.1 and prints it; accepts COUNT connections one after the other, blocking: handshake, one
 * byte to the client, its end. Then prints the processor time that it took, in milliseconds for one. With --hold the
 * connections stay until the end of the input. Settings are OpenSSL's own, but for what c2sd has also: TLS 1.3 or 1.2,
 * stateless tickets, no cache of sessions, and buffers that are given back.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/descriptors.h"

static void
fail(const char *what)
{
	fprintf(stderr, "bench-handshakes: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static SSL_CTX *
context_new(const char *chain, const char *key)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (context == NULL || SSL_CTX_use_certificate_chain_file(context, chain) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		fail("certificate");
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	return context;
}

static int
listen_somewhere(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 1024) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		fail("listen");
	printf("%u\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static void
serve(SSL_CTX *context, int fd, bool hold)
{
	SSL *ssl = SSL_new(context);
	char byte;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_accept(ssl) != 1 || SSL_write(ssl, ".", 1) != 1)
		fail("handshake");
	if (hold)
		return;
	SSL_read(ssl, &byte, 1);
	SSL_free(ssl);
	close(fd);
}

static double
processor_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
	    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

int
main(int argc, char **argv)
{
	bool hold = argc == 5 && strcmp(argv[1], "--hold") == 0;
	unsigned long count = argc == 4 + hold ? strtoul(argv[3 + hold], NULL, 10) : 0;
	SSL_CTX *context;
	double began;
	int listener;

	if (count == 0) {
		fprintf(stderr, "usage: bench-handshakes [--hold] CHAIN KEY COUNT\n");
		return 2;
	}
	descriptors_all();
	context = context_new(argv[1 + hold], argv[2 + hold]);
	listener = listen_somewhere();
	began = processor_ms();
	for (unsigned long i = 0; i < count; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			fail("accept");
		serve(context, fd, hold);
	}
	printf("%.6f\n", (processor_ms() - began) / (double)count);
	fflush(stdout);
	if (hold)
		getchar();
	SSL_CTX_free(context);
	return 0;
}
