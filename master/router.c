#include "master/router.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "master/master.h"

/* At most one line a second about packets that had to be dropped. */
#define DROP_LOG_INTERVAL 1000

/* ---- to the link ---- */

bool
router_send(struct master *master, const struct entry *entry, const void *bytes, size_t length)
{
	if (!link_send(&master->link, bytes, length)) {
		log_error("link packet lost: out of memory");
		return false;
	}
	keeper_count(&master->keeper, entry, FATE_UP);
	return true;
}

static void
dropped(struct master *master, const char *why)
{
	uint64_t now = loop_now(&master->loop);

	if (master->drop_logged != 0 && now - master->drop_logged < DROP_LOG_INTERVAL)
		return;
	master->drop_logged = now;
	log_warning("link packet dropped reason=\"%s\" dropped=%" PRIu64, why, master->keeper.total.of[FATE_DROPPED] + 1);
}

/* A packet that reached nobody goes back; what became of it. */
static enum fate
send_back(struct master *master, const struct entry *entry, const void *bytes, size_t length)
{
	const struct dialect *dialect = master->link.dialect;
	struct buffer bounce = { 0 };
	struct packet packet;
	enum fate fate = FATE_BOUNCED;

	dialect->link_read(&packet, bytes, length);
	if (packet.disconnect && packet.bare)
		return FATE_CONSUMED;
	if (packet.disconnect) {
		dropped(master, "came back although it was a 510");
		return FATE_DROPPED;
	}
	dialect->link_bounce(&bounce, bytes, length);
	if (bounce.failed || buffer_length(&bounce) == 0 ||
	    !router_send(master, entry, buffer_bytes(&bounce), buffer_length(&bounce))) {
		dropped(master, "does not say where it comes from");
		fate = FATE_DROPPED;
	}
	buffer_deinit(&bounce);
	return fate;
}

/* ---- the end of a client ---- */

static void
send_end(struct master *master, const struct entry *entry)
{
	struct buffer end = { 0 };
	char id[DIRECTORY_ID_SIZE];

	/* It would end the session of the later login, or one that is not there any more. */
	if (!entry->confirmed || entry->superseded || entry->ended_upstream)
		return;
	master->link.dialect->link_end(&end, directory_id(&master->directory, entry, id), master->link.name, entry->address);
	if (!end.failed)
		router_send(master, entry, buffer_bytes(&end), buffer_length(&end));
	buffer_deinit(&end);
}

static void
flow_back(struct master *master)
{
	if (keeper_has_room(&master->keeper))
		link_read(&master->link, true);
}

/* Whatever it died of: first that its session has ended, then what it did not get, in order (design, section 6). */
void
router_ended(struct master *master, struct entry *entry)
{
	const struct kept *kept;

	send_end(master, entry);
	while ((kept = keeper_first(entry)) != NULL)
		keeper_finish(&master->keeper, entry, send_back(master, entry, kept->bytes, kept->length));
	if (entry->fd >= 0)
		close(entry->fd);
	directory_remove(&master->directory, entry);
	flow_back(master);
}

void
router_close(struct master *master, struct entry *entry, enum end_reason reason)
{
	struct buffer body = { 0 };

	if (entry->closing)
		return;
	entry->closing = true;
	message_put_reason(&body, reason);
	channel_send(&master->pool.workers[entry->worker].channel, M2W_CLOSE, entry->slot, entry->serial, &body);
	buffer_deinit(&body);
}

/* ---- from the link ---- */

/* A login's answer gives its client an address: from now on any other that has it may be ended by it. */
static void
promise_address(struct master *master, struct entry *entry, struct range raw)
{
	struct buffer address = { 0 };

	range_append_decoded(&address, raw);
	if (address.failed || !directory_set_address(&master->directory, entry,
	    (struct range){ (const char *)buffer_bytes(&address), buffer_length(&address) }))
		router_close(master, entry, END_BROKEN);
	buffer_deinit(&address);
}

static void
deliver(struct master *master, struct entry *entry, const struct packet *packet, const uint8_t *bytes, size_t length)
{
	struct buffer body = { 0 };
	uint64_t number;
	uint16_t flags = 0;

	if (packet->kind == PACKET_LOGIN && entry->address == NULL)
		promise_address(master, entry, packet->address);
	if (packet->kind == PACKET_DISCONNECT && entry->address != NULL && dialect_ends_session(packet, entry->address)) {
		entry->ended_upstream = true;
		flags = entry->superseded ? FRAME_FLAG_REPLACED : 0;
	}
	number = keeper_keep(&master->keeper, entry, bytes, length);
	if (number == 0) {
		keeper_count(&master->keeper, entry, send_back(master, entry, bytes, length));
		router_close(master, entry, END_BROKEN);
		return;
	}
	message_put_number(&body, number);
	channel_send_parts(&master->pool.workers[entry->worker].channel, M2W_PACKET, flags, entry->slot, entry->serial,
	    &body, bytes, length);
	buffer_deinit(&body);
	if (keeper_is_full(&master->keeper))
		link_read(&master->link, false);
}

static struct entry *
entry_of(struct master *master, const struct packet *packet)
{
	if (!range_equals(packet->name, master->link.name))
		return NULL;
	return directory_find(&master->directory, packet->id);
}

void
router_from_link(struct master *master, const uint8_t *bytes, size_t length)
{
	struct entry *entry = NULL;
	struct packet packet;

	master->link.dialect->link_read(&packet, bytes, length);
	if (packet.kind == PACKET_DATA || packet.kind == PACKET_LOGIN || packet.kind == PACKET_DISCONNECT)
		entry = entry_of(master, &packet);
	keeper_count(&master->keeper, entry, FATE_IN);
	if (entry != NULL) {
		deliver(master, entry, &packet, bytes, length);
	} else if (packet.kind == PACKET_OWN) {
		keeper_count(&master->keeper, NULL, FATE_CONSUMED);
		control_answer(&master->control, bytes, length);
	} else if (packet.kind == PACKET_LOST) {
		dropped(master, "has no address");
		keeper_count(&master->keeper, NULL, FATE_DROPPED);
	} else {
		keeper_count(&master->keeper, NULL, send_back(master, NULL, bytes, length));
	}
}

/* ---- from the workers ---- */

enum contract_breach
router_session(struct master *master, struct entry *entry, const struct frame *frame)
{
	struct range address = { (const char *)frame->body, frame->length };

	if (memchr(address.at, '\0', address.length) != NULL)
		return BREACH_BODY;
	if (entry->confirmed)
		return BREACH_CLIENT;
	if (!directory_set_address(&master->directory, entry, address))
		router_close(master, entry, END_BROKEN);
	else
		entry->confirmed = true;
	return BREACH_NONE;
}

enum contract_breach
router_number(struct master *master, struct entry *entry, const struct frame *frame)
{
	uint64_t number;
	bool known;

	if (!message_get_number(frame, &number))
		return BREACH_BODY;
	known = frame->type == W2M_SETTLED ? keeper_settle(&master->keeper, entry, number) :
	    keeper_consume(&master->keeper, entry, number);
	flow_back(master);
	return known ? BREACH_NONE : BREACH_CLIENT;
}
