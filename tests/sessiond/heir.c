#include "tests/sessiond/heir.h"

#include <inttypes.h>
#include <string.h>

#include "common/loop.h"
#include "sessiond/exchange.h"
#include "tests/dialect/fuzz.h"

#define LINES_MAX 4096

struct journal_area
heir_area(size_t size)
{
	struct journal_area area = { .bytes = calloc(1, size), .size = size };

	must(area.bytes != NULL);
	return area;
}

struct journal_area
heir_area_copy(const struct journal_area *area)
{
	struct journal_area copy = heir_area(area->size);

	memcpy(copy.bytes, area->bytes, area->size);
	return copy;
}

void
heir_area_free(struct journal_area *area)
{
	free(area->bytes);
	area->bytes = NULL;
}

struct heir *
heir_new(const struct sessiond *sd, struct journal_area area, uint64_t turn)
{
	struct heir *heir = calloc(1, sizeof *heir);
	char text[256];
	unsigned line;

	must(heir != NULL);
	snprintf(text, sizeof text, "host=localhost\nname=%s\nsecret=s\ndatabase=:memory:\nacknowledge=yes\ndialect=%s\n",
	    sd->settings->name, sd->settings->dialect->name);
	must(settings_read(&heir->settings, text, &line) == 0);
	heir->settings.iterations = 1;
	must(sessiond_init(&heir->sd, &heir->settings) == 0);
	memcpy(heir->sd.store.secret, sd->store.secret, sizeof sd->store.secret);
	store_execute(&heir->sd.store, STORE_TURN_WRITE, "i", (long long)turn);
	must(store_commit(&heir->sd.store) == 0);
	heir->area = area;
	heir->error = recovery_start(&heir->sd, &heir->settings, &heir->area);
	return heir;
}

void
heir_free(struct heir *heir)
{
	sessiond_deinit(&heir->sd);
	settings_deinit(&heir->settings);
	heir_area_free(&heir->area);
	free(heir);
}

static void
write_session(struct buffer *out, const struct session *session)
{
	const struct directed *directed;

	buffer_append_format(out, "session %s %s %s %d %d %u\n", session->id, session->address, session->user->jid,
	    session->priority, session->interested, session->directed_count);
	if (session->presence != NULL)
		buffer_append_format(out, "presence %s %s\n", session->id, session->presence);
	SLIST_FOREACH(directed, &session->directed, entry)
		buffer_append_format(out, "directed %s %s\n", session->id, directed->jid);
}

static void
write_guest(struct buffer *out, const struct guest *guest)
{
	struct exchange_trace trace = { "", "", "" };

	if (guest->exchange != NULL)
		exchange_trace(guest->exchange, &trace);
	buffer_append_format(out, "guest %s %s %s %d %d %u %u %d %u %u %.3s %s %s %s %d\n", guest->id, guest->host,
	    guest->account == NULL ? "-" : guest->account, guest->state, guest->modern, guest->failures,
	    guest->registrations, guest->connection.tls, guest->connection.bindings[0].length,
	    guest->connection.bindings[1].length, (const char *)guest->connection.bindings[0].bytes, trace.mechanism,
	    trace.first, trace.nonce, guest->interrupted);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Tables have no order. */
static struct buffer
sorted(struct buffer *text)
{
	static char *lines[LINES_MAX];
	struct buffer out = { 0 };
	char *rest, *line;
	size_t count = 0;

	buffer_append(text, "", 1);
	must(!text->failed);
	rest = (char *)buffer_bytes(text);
	while ((line = strsep(&rest, "\n")) != NULL && count < LINES_MAX)
		lines[count++] = line;
	qsort(lines, count, sizeof *lines, compare);
	for (size_t i = 0; i < count; i++)
		buffer_append_format(&out, "%s\n", lines[i]);
	buffer_append(&out, "", 1);
	buffer_deinit(text);
	must(!out.failed);
	return out;
}

struct buffer
heir_likeness(const struct sessiond *sd)
{
	const struct ledger *ledger = &sd->link.ledger;
	struct table_entry *entry = NULL;
	const struct ledger_entry *kept;
	const struct offline_reader *reader;
	const struct guest *guest;
	struct buffer out = { 0 };
	unsigned number = 0;

	while ((entry = table_walk(&sd->sessions.by_address, entry)) != NULL)
		write_session(&out, container_of(entry, struct session, by_address));
	TAILQ_FOREACH(guest, &sd->guests.guests, entry)
		write_guest(&out, guest);
	SLIST_FOREACH(reader, &sd->offline.readers, entry)
		buffer_append_format(&out, "reader %s %s %lld %" PRIu64 " %d %" PRIu32 " %" PRIu32 "\n", reader->account,
		    reader->id, reader->last, reader->waiting, reader->returned, reader->stream, reader->sent);
	STAILQ_FOREACH(kept, &ledger->kept, entry)
		buffer_append_format(&out, "kept %06u %.*s\n", number++, (int)kept->length, kept->bytes);
	buffer_append_format(&out, "ledger %s %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %zu %" PRIu64 "\n",
	    ledger->ack.id, ledger->ack.sent, ledger->ack.acknowledged, ledger->ack.received, ledger->streams,
	    ledger->kept_bytes, ledger->dropped);
	buffer_append_format(&out, "pushes %llu\n", sd->push_serial);
	return sorted(&out);
}

bool
heir_is_like(const struct sessiond *sd, const struct journal_area *area, const char **a_r, const char **b_r)
{
	static struct buffer a, b;
	struct heir *heir = heir_new(sd, heir_area_copy(area), 0);

	buffer_deinit(&a);
	buffer_deinit(&b);
	a = heir_likeness(sd);
	b = heir_likeness(&heir->sd);
	heir_free(heir);
	*a_r = (const char *)buffer_bytes(&a);
	*b_r = (const char *)buffer_bytes(&b);
	return strcmp(*a_r, *b_r) == 0;
}
