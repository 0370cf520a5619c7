#include "sessiond/recovery_record.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sessiond/exchange.h"
#include "sessiond/jid.h"
#include "sessiond/presence.h"
#include "sessiond/sessiond.h"

static int
replay_counts(struct sessiond *sd, struct journal_record *record)
{
	struct ledger *ledger = &sd->link.ledger;
	uint64_t dropped, acknowledged, received, streams, pushes;
	const char *id;

	if (!journal_get_number(record, &dropped) || !journal_get_number(record, &acknowledged) ||
	    !journal_get_number(record, &received) || !journal_get_number(record, &streams) ||
	    !journal_get_number(record, &pushes) || !journal_get_text(record, &id) || acknowledged > UINT32_MAX ||
	    received > UINT32_MAX || streams > UINT32_MAX || strlen(id) > ACK_ID_MAX ||
	    !ledger_restore_dropped(ledger, dropped))
		return -EPROTO;
	ack_forget(&ledger->ack);
	ledger->ack.acknowledged = (uint32_t)acknowledged;
	ledger->ack.received = (uint32_t)received;
	ledger->streams = (uint32_t)streams;
	strlcpy(ledger->ack.id, id, sizeof ledger->ack.id);
	sd->push_serial = pushes;
	return 0;
}

static int
replay_output(struct sessiond *sd, struct journal_record *record)
{
	const void *bytes;
	size_t length;

	if (!journal_get_bytes(record, &bytes, &length) || !ledger_restore(&sd->link.ledger, bytes, length))
		return -EPROTO;
	return sd->link.ledger.failed ? -ENOMEM : 0;
}

/* ---- sessions ---- */

/* Nobody must stumble later over what is no address of an account. */
static bool
is_account(const char *jid)
{
	const char *at = strchr(jid, '@');

	return at != NULL && at != jid && at - jid < JID_PART_SIZE && at[1] != '\0' && strlen(at + 1) < JID_PART_SIZE &&
	    strchr(at + 1, '@') == NULL && strchr(jid, '/') == NULL;
}

static int
replay_session(struct sessiond *sd, struct settings *settings, struct journal_record *record)
{
	const char *id, *jid, *resource;
	const struct session *session;

	if (!journal_get_text(record, &id) || !journal_get_text(record, &jid) || !journal_get_text(record, &resource) ||
	    !is_account(jid) || strlen(resource) >= JID_PART_SIZE || session_find_id(sd, id) != NULL)
		return -EPROTO;
	session = session_open(sd, jid, resource, id);
	return session != NULL && settings_keep_host(settings, strchr(jid, '@') + 1) ? 0 : -ENOMEM;
}

/* The one that the record's first field names; NULL: there is none. */
static struct session *
session_of(struct sessiond *sd, struct journal_record *record)
{
	const char *id;

	return journal_get_text(record, &id) ? session_find_id(sd, id) : NULL;
}

static int
replay_presence(struct session *session, struct journal_record *record)
{
	const char *text;
	uint64_t priority;

	if (!journal_get_number(record, &priority) || !journal_get_text(record, &text) || priority > UINT8_MAX)
		return -EPROTO;
	return presence_restore(session, text, (int8_t)((int)priority + INT8_MIN)) ? 0 : -ENOMEM;
}

static int
replay_directed(struct session *session, struct journal_record *record, bool available)
{
	const char *jid;

	if (!journal_get_text(record, &jid))
		return -EPROTO;
	return presence_restore_directed(session, jid, available) ? 0 : -ENOMEM;
}

static int
replay_of_session(struct sessiond *sd, struct journal_record *record)
{
	struct session *session = session_of(sd, record);

	if (session == NULL)
		return -EPROTO;
	switch (record->type) {
	case RECORD_SESSION_END:
		session_forget(sd, session);
		return 0;
	case RECORD_PRESENCE:
		return replay_presence(session, record);
	case RECORD_PRESENCE_END:
		presence_restore_absence(session);
		return 0;
	case RECORD_INTERESTED:
		session->interested = true;
		return 0;
	case RECORD_DIRECTED:
	case RECORD_DIRECTED_END:
		return replay_directed(session, record, record->type == RECORD_DIRECTED);
	default:
		return -EPROTO;
	}
}

/* ---- guests ---- */

static bool
get_binding(struct journal_record *record, struct guest *guest, unsigned which)
{
	const void *bytes;
	size_t length;

	if (!journal_get_bytes(record, &bytes, &length) || length > CONNECTION_BINDING_MAX)
		return false;
	memcpy(guest->connection.bindings[which].bytes, bytes, length);
	guest->connection.bindings[which].length = (uint8_t)length;
	return true;
}

/* What was said is said again, to ourselves. It may not work out, when the account has changed: that login has failed. */
static bool
get_exchange(struct sessiond *sd, struct journal_record *record, struct guest *guest, bool under_way)
{
	struct exchange_trace trace;

	if (!journal_get_text(record, &trace.mechanism) || !journal_get_text(record, &trace.first) ||
	    !journal_get_text(record, &trace.nonce))
		return false;
	guest->state = under_way && exchange_restore(sd, guest, &trace) ? GUEST_EXCHANGE : guest->state;
	guest->interrupted = under_way && guest->state != GUEST_EXCHANGE;
	return true;
}

static bool
get_guest(struct sessiond *sd, struct journal_record *record, struct guest *guest)
{
	uint64_t state, modern, failures, registrations, tls;

	if (!journal_get_number(record, &state) || !journal_get_number(record, &modern) ||
	    !journal_get_number(record, &failures) || !journal_get_number(record, &registrations) ||
	    !journal_get_number(record, &tls) || state > GUEST_BINDING || failures > UINT16_MAX ||
	    registrations > UINT8_MAX)
		return false;
	exchange_drop(guest);
	guest->state = state == GUEST_EXCHANGE ? GUEST_OPENED : (enum guest_state)state;
	guest->modern = modern != 0;
	guest->failures = (uint16_t)failures;
	guest->registrations = (uint8_t)registrations;
	guest->connection.tls = tls != 0;
	for (unsigned i = 0; i < CONNECTION_BINDING_COUNT; i++) {
		if (!get_binding(record, guest, i))
			return false;
	}
	return (guest->state < GUEST_PASSED) == (guest->account == NULL) &&
	    get_exchange(sd, record, guest, state == GUEST_EXCHANGE);
}

static int
replay_guest(struct sessiond *sd, struct settings *settings, struct journal_record *record)
{
	const char *id, *host, *account;
	struct guest *guest;

	if (!journal_get_text(record, &id) || !journal_get_text(record, &host) || !journal_get_text(record, &account) ||
	    strlen(host) >= JID_PART_SIZE || (account[0] != '\0' && !is_account(account)))
		return -EPROTO;
	guest = guest_find(sd, id);
	if (guest == NULL)
		guest = guest_open(sd, id, host);
	if (guest == NULL || !settings_keep_host(settings, host))
		return -ENOMEM;
	free(guest->account);
	guest->account = account[0] == '\0' ? NULL : strdup(account);
	if (guest->account == NULL && account[0] != '\0')
		return -ENOMEM;
	return get_guest(sd, record, guest) ? 0 : -EPROTO;
}

static int
replay_guest_end(struct sessiond *sd, struct journal_record *record)
{
	struct guest *guest;
	const char *id;

	guest = journal_get_text(record, &id) ? guest_find(sd, id) : NULL;
	if (guest == NULL)
		return -EPROTO;
	guest_end(sd, guest);
	return 0;
}

/* ---- offline pages ---- */

static int
replay_page(struct sessiond *sd, struct journal_record *record)
{
	struct offline_reader reader = { 0 };
	uint64_t last, returned, stream, sent;
	const char *account;

	if (!journal_get_text(record, &account) || !journal_get_text(record, &reader.id) ||
	    !journal_get_number(record, &last) || !journal_get_number(record, &reader.waiting) ||
	    !journal_get_number(record, &returned) || !journal_get_number(record, &stream) ||
	    !journal_get_number(record, &sent) || last > INT64_MAX || returned > 1 || stream > UINT32_MAX || sent > UINT32_MAX)
		return -EPROTO;
	reader.last = (long long)last;
	reader.returned = returned == 1;
	reader.stream = (uint32_t)stream;
	reader.sent = (uint32_t)sent;
	return offline_restore(sd, &reader, account) ? 0 : -ENOMEM;
}

static int
replay_page_end(struct sessiond *sd, struct journal_record *record)
{
	const char *account;

	return journal_get_text(record, &account) && offline_restore_end(sd, account) ? 0 : -EPROTO;
}

static int
replay_any(struct sessiond *sd, struct settings *settings, struct journal_record *record)
{
	switch (record->type) {
	case RECORD_COUNTS:
		return replay_counts(sd, record);
	case RECORD_OUTPUT:
		return replay_output(sd, record);
	case RECORD_SESSION:
		return replay_session(sd, settings, record);
	case RECORD_GUEST:
		return replay_guest(sd, settings, record);
	case RECORD_GUEST_END:
		return replay_guest_end(sd, record);
	case RECORD_PAGE:
		return replay_page(sd, record);
	case RECORD_PAGE_END:
		return replay_page_end(sd, record);
	default:
		return replay_of_session(sd, record);
	}
}

int
recovery_record_replay(struct sessiond *sd, struct settings *settings, struct journal_record *record)
{
	int error = replay_any(sd, settings, record);

	/* Fields that nobody knows are of another version. */
	return error == 0 && record->length > 0 ? -EPROTO : error;
}
