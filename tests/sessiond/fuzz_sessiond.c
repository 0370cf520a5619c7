/*
 * Any bytes behind a good handshake: two accounts are there, their sessions a@foo-sockets and b@foo-sockets are open.
 * With libFuzzer, or replayed by fuzz_main.c.
 */
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "sessiond/account.h"
#include "sessiond/sessiond.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
log_nowhere(enum log_level level, const char *role, const char *line, void *argument)
{
	(void)level;
	(void)role;
	(void)line;
	(void)argument;
}

static void
must(bool good)
{
	if (!good)
		abort();
}

static void
output_drain(struct sessiond *sd)
{
	struct buffer *out = sessiond_output(sd);

	must(sessiond_turn(sd) == 0);
	while (buffer_length(out) > 0) {
		buffer_consume(out, buffer_length(out));
		must(sessiond_drained(sd) == 0);
	}
}

static void
input_all(struct sessiond *sd, const uint8_t *data, size_t size)
{
	must(sessiond_input(sd, data, size) == 0);
	output_drain(sd);
	while (sessiond_is_busy(sd)) {
		must(sessiond_input(sd, NULL, 0) == 0);
		output_drain(sd);
	}
}

static void
user_open(struct sessiond *sd, const char *jid, const char *id)
{
	must(account_create(sd, jid, "pw") == ACCOUNT_DONE);
	must(session_open(sd, jid, "r", id) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] = "host=localhost\nname=foo-sockets\nsecret=s\ndatabase=:memory:\nregistration=yes\n"
	    "offline-max=5\n";
	char copy[sizeof text];
	struct settings settings;
	struct sessiond sd;
	unsigned line;
	size_t half = size / 2;

	log_set_sink(log_nowhere, NULL);
	memcpy(copy, text, sizeof text);
	must(settings_read(&settings, copy, &line) == 0);
	settings.iterations = 1;
	must(sessiond_init(&sd, &settings) == 0);
	must(sessiond_input(&sd, "<s>", 3) == 0);
	sd.link.state = LINK_READY;
	user_open(&sd, "alice@localhost", "a@foo-sockets");
	user_open(&sd, "bob@localhost", "b@foo-sockets");
	input_all(&sd, data, half);
	input_all(&sd, data + half, size - half);
	sessiond_deinit(&sd);
	settings_deinit(&settings);
	return 0;
}
