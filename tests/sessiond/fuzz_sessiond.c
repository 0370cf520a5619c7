/*
 * Any bytes behind a good handshake: two accounts are there, their sessions a@foo-sockets and b@foo-sockets are open. In each
 * dialect: in `xmpp` there is also a guest c@foo-sockets, over TLS, and d@foo-sockets, who has proved to be alice.
 * With libFuzzer, or replayed by fuzz_main.c.
 */
#include <openssl/evp.h>
#include <string.h>

#include "sessiond/account.h"
#include "sessiond/sessiond.h"
#include "tests/dialect/fuzz.h"
#include "tests/sessiond/heir.h"
#include "tests/sessiond/quiet.h"

#define AREA (64 * 1024)

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

static void
guests_open(struct sessiond *sd)
{
	struct guest *guest = guest_open(sd, "c@foo-sockets", "localhost");

	must(guest != NULL);
	guest->modern = guest->connection.tls = true;
	guest->connection.bindings[CONNECTION_EXPORTER].length = 3;
	guest = guest_open(sd, "d@foo-sockets", "localhost");
	must(guest != NULL);
	guest->modern = true;
	guest->state = GUEST_BINDING;
	guest->account = strdup("alice@localhost");
	must(guest->account != NULL);
}

/* What is kept is what was sent and is not acknowledged. */
static void
check_ledger(const struct ledger *ledger)
{
	const struct ledger_entry *entry;
	uint32_t count = 0;
	size_t bytes = 0;

	STAILQ_FOREACH(entry, &ledger->kept, entry) {
		count++;
		bytes += entry->length;
	}
	must(bytes == ledger->kept_bytes);
	must(!ledger_is_used(ledger) || count == ack_waiting(&ledger->ack));
}

static void
run_dialect(const char *dialect, const uint8_t *data, size_t size)
{
	char text[256];
	struct settings settings;
	struct sessiond sd;
	unsigned line;
	size_t half = size / 2;
	struct journal_area area = heir_area(AREA);
	const char *text_a, *text_b;

	snprintf(text, sizeof text, "host=localhost\nname=foo-sockets\nsecret=s\ndatabase=:memory:\nregistration=yes\n"
	    "offline-max=5\nacknowledge=yes\ndialect=%s\n", dialect);
	must(settings_read(&settings, text, &line) == 0);
	settings.iterations = 1;
	must(sessiond_init(&sd, &settings) == 0);
	must(sessiond_input(&sd, "<s>", 3) == 0);
	sd.link.state = LINK_READY;
	user_open(&sd, "alice@localhost", "a@foo-sockets");
	user_open(&sd, "bob@localhost", "b@foo-sockets");
	if (strcmp(dialect, "xmpp") == 0)
		guests_open(&sd);
	must(recovery_start(&sd, &settings, &area) == 0);
	input_all(&sd, data, half);
	check_ledger(&sd.link.ledger);
	/* Whatever has happened, one that comes after a kill knows it. */
	if (sessiond_outlives_link(&sd))
		must(heir_is_like(&sd, &area, &text_a, &text_b));
	/* A stream that can be resumed has lost its link meanwhile. */
	if (sessiond_outlives_link(&sd)) {
		sessiond_lost(&sd);
		must(sessiond_input(&sd, "<s>", 3) == 0);
		sd.link.state = LINK_READY;
	}
	input_all(&sd, data + half, size - half);
	check_ledger(&sd.link.ledger);
	sessiond_deinit(&sd);
	settings_deinit(&settings);
	heir_area_free(&area);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	quiet_log();
	run_dialect("sfrom", data, size);
	run_dialect("xmpp", data, size);
	return 0;
}
