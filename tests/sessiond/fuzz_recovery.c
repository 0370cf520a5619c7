/*
 * Any bytes as the records of a journal: whatever they are, a session manager begins with them, or without, and works.
 * With libFuzzer, or replayed by fuzz_main.c.
 */
#include <inttypes.h>
#include <string.h>

#include "tests/dialect/fuzz.h"
#include "tests/sessiond/heir.h"
#include "tests/sessiond/quiet.h"

#define AREA (256 * 1024)
#define HALF ((AREA - JOURNAL_HEAD) / 2 / JOURNAL_HEAD * JOURNAL_HEAD)
#define WORD_AT 32

static void
say(struct sessiond *sd, const char *text)
{
	must(sessiond_input(sd, text, strlen(text)) == 0);
	must(sessiond_turn(sd) == 0);
}

/* The socket manager goes on with the stream that was left, if it can say which that is; else with a new one. */
static void
resume(struct sessiond *sd)
{
	const struct ack *ack = &sd->link.ledger.ack;
	char text[512];

	must(sessiond_input(sd, "<s>", 3) == 0);
	sd->link.state = LINK_READY;
	if (ack->id[0] != '\0' && ack->id[strspn(ack->id, "0123456789abcdef")] == '\0') {
		snprintf(text, sizeof text, "<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%" PRIu32 "'/>", ack->id,
		    ack->acknowledged);
		say(sd, text);
	}
	if (!ack->on)
		say(sd, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
	must(ack->on);
}

/* Something for everybody who may be there. */
static void
use(struct sessiond *sd)
{
	resume(sd);
	say(sd, "<r xmlns='urn:xmpp:sm:3'/><message to='a@localhost' sto='b@localhost/r' sfrom='b@s'><body/></message>"
	    "<presence sto='a@localhost/r' sfrom='a@s'/><presence to='y@localhost' sto='a@localhost/r' sfrom='a@s'/>"
	    "<settle xmlns='urn:x-c2sd:settle:0' type='result' sto='a@localhost' sfrom='a@s' id='7.300'/>"
	    "<close sto='localhost' sfrom='c@s' xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
	    "<presence type='unavailable' sto='b@localhost/r' sfrom='b@s'/>");
	must(sd->link.state == LINK_READY);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct journal_area head;
	struct journal_area area = heir_area(AREA);
	struct sessiond *sd;
	struct heir *heir;
	uint64_t word = size;

	quiet_log();
	sd = calloc(1, sizeof *sd);
	must(sd != NULL);
	sd->settings = &(const struct settings){ .name = (char[]){ "s" }, .dialect = &link_dialect_xmpp };
	/* What an empty one looks like, for its head. */
	if (head.bytes == NULL) {
		heir = heir_new(sd, heir_area(AREA), 0);
		head = heir_area_copy(&heir->area);
		heir_free(heir);
	}
	if (size <= HALF) {
		memcpy(area.bytes, head.bytes, JOURNAL_HEAD);
		memcpy(area.bytes + WORD_AT, &word, sizeof word);
		if (size > 0)
			memcpy(area.bytes + JOURNAL_HEAD, data, size);
	}
	heir = heir_new(sd, area, 0);
	must(heir->error == 0);
	use(&heir->sd);
	heir_free(heir);
	free(sd);
	return 0;
}
