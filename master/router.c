#include "master/router.h"

#include <inttypes.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "dialect/notice.h"
#include "dialect/wellformed.h"
#include "master/master.h"

/* At most one line a second about packets that had to be dropped. */
#define DROP_LOG_INTERVAL 1000

/*
 * How long the session manager waits before clients that take nothing are ended for it, beside the time after which their
 * workers say what was taken; and before any are.
 */
#define RELIEF_TIME 1000
#define RELIEF_PATIENCE 10000

/* More than class_of ever says: 16 for each bit of a size. */
#define CLASSES 1024

/* Most that one worker can send before it heeds STOP: its channel's high mark, an element on top, the socket's buffers. */
#define UNDER_WAY_MAX (16u * 1024 * 1024)

/* ---- to the link ---- */

/* `from`: the serial number of the client whose packet it is; 0: it is one of ours. */
static bool
send_up_from(struct master *master, const struct entry *entry, uint64_t from, const void *bytes, size_t length)
{
	keeper_count(&master->keeper, entry, FATE_UP);
	if (link_send(&master->link, from, bytes, length))
		return true;
	log_error("link packet-lost reason=%s", master->link.state == LINK_CLOSED ? "came-after-goodbye" : "no-memory");
	return false;
}

static bool
send_up(struct master *master, const struct entry *entry, const void *bytes, size_t length)
{
	return send_up_from(master, entry, 0, bytes, length);
}

bool
router_send(struct master *master, const void *bytes, size_t length)
{
	return send_up(master, NULL, bytes, length);
}

static void
dropped(struct master *master, const char *why)
{
	uint64_t now = loop_now(&master->loop);

	if (master->drop_logged != 0 && now - master->drop_logged < DROP_LOG_INTERVAL)
		return;
	master->drop_logged = now;
	log_warning("link packet-dropped reason=\"%s\" dropped=%" PRIu64, why, master->keeper.total.of[FATE_DROPPED] + 1);
}

/* A packet that reached nobody goes back; what became of it. */
static enum fate
send_back(struct master *master, const struct entry *entry, const struct packet *packet, const void *bytes,
    size_t length)
{
	struct buffer bounce = { 0 };
	enum fate fate = FATE_BOUNCED;

	if (packet->expendable)
		return FATE_CONSUMED;
	if (packet->disconnect) {
		dropped(master, "came back although it was a 510");
		return FATE_DROPPED;
	}
	if (master->link.state == LINK_CLOSED) {
		dropped(master, "came after our goodbye");
		return FATE_DROPPED;
	}
	master->link.dialect->link_bounce(&bounce, bytes, length);
	if (bounce.failed || buffer_length(&bounce) == 0 ||
	    !send_up(master, entry, buffer_bytes(&bounce), buffer_length(&bounce))) {
		dropped(master, "does not say where it comes from, or is not well-formed");
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

	const char *address = entry->confirmed ? entry->address : directory_host(&master->directory, entry);

	/* It would end the session of the later login, or one that is not there any more. */
	if (address == NULL || entry->superseded || entry->ended_upstream)
		return;
	master->link.dialect->link_end(&end, directory_id(&master->directory, entry, id), master->link.name, address,
	    entry->goodbye);
	if (!end.failed)
		send_up(master, entry, buffer_bytes(&end), buffer_length(&end));
	buffer_deinit(&end);
}

/* Who was told that it had logged in is told that it is gone. */
static void
send_logout(struct master *master, const struct entry *entry)
{
	struct buffer logout = { 0 };

	if (entry->notice == NULL)
		return;
	notice_put_logout(&logout, entry->notice, strlen(entry->notice));
	if (!logout.failed && buffer_length(&logout) > 0)
		send_up(master, entry, buffer_bytes(&logout), buffer_length(&logout));
	buffer_deinit(&logout);
}

static void
packets_note(struct master *master)
{
	trim_note(&master->trim, (size_t)master->keeper.total.of[FATE_HELD]);
}

void
router_check_room(struct master *master)
{
	packets_note(master);
	if (!keeper_has_room(&master->keeper))
		return;
	timer_clear(&master->loop, &master->relief);
	link_read(&master->link, true);
}

/*
 * The answer to a login of a session that is not its client's any more. Session managers end the session that an iq comes
 * back to, by its address alone: it would be the later login's.
 */
static bool
is_stale_login(const struct entry *entry, const struct packet *packet)
{
	return (entry->superseded || entry->ended_upstream) &&
	    (packet->kind == PACKET_LOGIN || packet->kind == PACKET_SESSION) && entry->address != NULL &&
	    range_decodes_to(packet->address, entry->address);
}

/*
 * The session manager says that the session, or the stream, is over. (Once it was heard, saying it again is nothing that could
 * bounce.)
 */
static bool
is_own_disconnect(const struct master *master, const struct entry *entry, const struct packet *packet)
{
	const char *address = entry->address != NULL ? entry->address : directory_host(&master->directory, entry);

	return packet->kind == PACKET_DISCONNECT && address != NULL && dialect_ends_session(packet, address);
}

/* The session manager has it, too. Where its queue has gone with it, or may have, our copy is all that there is. */
static bool
is_kept_there(const struct master *master, const struct entry *entry, const struct kept *kept)
{
	return kept->managed && !entry->forgotten && master->link.state == LINK_UP;
}

static enum fate
fate_at_end(struct master *master, const struct entry *entry, const struct kept *kept)
{
	struct packet packet;

	if (is_kept_there(master, entry, kept))
		return FATE_CONSUMED;
	master->link.dialect->link_read(&packet, kept->bytes, kept->length);
	if (is_stale_login(entry, &packet) || is_own_disconnect(master, entry, &packet))
		return FATE_CONSUMED;
	return send_back(master, entry, &packet, kept->bytes, kept->length);
}

/* First that its session, or its stream, has ended, then what it did not get, in order (design, section 6). */
static void
settle_end(struct master *master, struct entry *entry)
{
	const struct kept *kept;

	send_end(master, entry);
	while ((kept = keeper_first(entry)) != NULL)
		keeper_finish(&master->keeper, entry, fate_at_end(master, entry, kept));
}

/* Whatever it died of. */
void
router_ended(struct master *master, struct entry *entry)
{
	settle_end(master, entry);
	send_logout(master, entry);
	if (entry->fd >= 0)
		close(entry->fd);
	if (entry->counted)
		gate_left(master, &entry->peer);
	control_ended(&master->control, entry);
	directory_remove(&master->directory, entry);
	router_check_room(master);
}

void
router_close(struct master *master, struct entry *entry, enum end_reason reason)
{
	if (entry->closing)
		return;
	directory_leaves(&master->directory, entry, reason);
	router_say_close(master, entry);
}

void
router_say_close(struct master *master, const struct entry *entry)
{
	struct buffer body = { 0 };

	message_put_reason(&body, (enum end_reason)entry->close_reason);
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

/*
 * May it be ended to make room? Yes, when it has taken nothing since the session manager waits; after a while anybody,
 * because a few that take a little now and then must not stop all the others.
 */
static bool
is_in_the_way(const struct master *master, const struct entry *entry)
{
	if (entry->closing || entry->held == 0)
		return false;
	if (loop_now(&master->loop) - master->unread_since > RELIEF_PATIENCE)
		return true;
	/* Of one whose worker says nothing at all nothing is known. */
	return entry->progress < master->unread_since && worker_answers(&master->pool.workers[entry->worker]);
}

/* What comes back when those have gone that were told to: it takes them a moment. */
static size_t
held_by_leaving(const struct master *master)
{
	size_t held = 0;

	for (const struct entry *entry = NULL; (entry = directory_next(&master->directory, entry)) != NULL;)
		held += entry->closing ? entry->held : 0;
	return held;
}

/*
 * Who is as full as another, within a sixteenth: there may be very many, and everybody waits while they are looked at. Class 0 is
 * that of those for whom nothing is kept.
 */
static unsigned
class_of(const struct entry *entry)
{
	unsigned power = 0;
	size_t rest = entry->held;

	for (; rest >= 32; rest /= 2)
		power++;
	return power * 16 + (unsigned)rest;
}

/* The fullest of those in the way are of this class and those above; of this class as many as hold `*bytes`. */
static unsigned
fullest_class(const struct master *master, size_t *bytes)
{
	size_t held[CLASSES] = { 0 };
	unsigned class = CLASSES - 1;

	for (const struct entry *entry = NULL; (entry = directory_next(&master->directory, entry)) != NULL;)
		held[class_of(entry)] += is_in_the_way(master, entry) ? entry->held : 0;
	for (; class > 0 && held[class] < *bytes; class--)
		*bytes -= held[class];
	return class;
}

static void
end_fullest(struct master *master, size_t bytes)
{
	unsigned class = fullest_class(master, &bytes);

	for (struct entry *entry = NULL; (entry = directory_next(&master->directory, entry)) != NULL;) {
		bool fuller = class_of(entry) > class;

		if (!is_in_the_way(master, entry) || class_of(entry) < class || (!fuller && bytes == 0))
			continue;
		if (!fuller)
			bytes -= entry->held < bytes ? entry->held : bytes;
		router_close(master, entry, END_TOO_SLOW);
	}
}

/* The session manager still waits: the fullest go until a quarter would be free. */
static void
on_relief(struct timer *timer)
{
	struct master *master = container_of(timer, struct master, relief);
	const struct keeper *keeper = &master->keeper;
	size_t goal = keeper->held_max - keeper->held_max / 4 + held_by_leaving(master);

	if (keeper->held_bytes > goal)
		end_fullest(master, keeper->held_bytes - goal);
	pool_ping(&master->pool);
	timer_set(&master->loop, &master->relief, RELIEF_TIME, on_relief);
}

/* What is acknowledged is looked at once in `settle-seconds`, and settled by the look behind that. */
static uint64_t
relief_time(const struct master *master)
{
	return RELIEF_TIME + 2 * (uint64_t)master->pool.settings.limits.settle_time;
}

/* Too much is kept for all together: the session manager waits. Most often that is all: clients are reading. */
static void
make_room(struct master *master)
{
	if (master->link.unread)
		return;
	link_read(&master->link, false);
	master->unread_since = loop_now(&master->loop);
	pool_ping(&master->pool);
	timer_set(&master->loop, &master->relief, relief_time(master), on_relief);
}

/* A session that was not asked for is ended; the client's own, told of twice, stays. */
static enum fate
unasked_session(struct master *master, const struct entry *entry, const struct packet *packet, const uint8_t *bytes,
    size_t length)
{
	if (entry->address != NULL && range_decodes_to(packet->address, entry->address))
		return FATE_CONSUMED;
	return send_back(master, entry, packet, bytes, length);
}

/* It is told in its turn (spread.h), however often the session manager says so. */
static bool
is_told_later(const struct master *master, const struct entry *entry, const struct packet *packet)
{
	return entry->forgotten && entry->due && is_own_disconnect(master, entry, packet);
}

static void
send_answer(struct master *master, const struct entry *entry, const void *bytes, size_t length)
{
	struct buffer answer = { 0 };

	master->link.dialect->link_answer(&answer, bytes, length);
	if (!answer.failed && buffer_length(&answer) > 0)
		send_up(master, entry, buffer_bytes(&answer), buffer_length(&answer));
	buffer_deinit(&answer);
}

/* True: there was one to be answered, since nothing before it is kept any more. */
static bool
answer_first_ask(struct master *master, struct entry *entry)
{
	const struct kept *kept = keeper_first(entry);

	if (kept == NULL || !kept->asks)
		return false;
	send_answer(master, entry, kept->bytes, kept->length);
	keeper_finish(&master->keeper, entry, FATE_CONSUMED);
	return true;
}

/* It waits behind all that was kept for the client before it; at the client's end it goes back like any packet. */
static void
take_ask(struct master *master, struct entry *entry, const struct packet *packet, const uint8_t *bytes, size_t length)
{
	if (keeper_keep_ask(&master->keeper, entry, bytes, length) == 0)
		keeper_count(&master->keeper, entry, send_back(master, entry, packet, bytes, length));
	while (answer_first_ask(master, entry))
		;
}

static void
deliver(struct master *master, struct entry *entry, const struct packet *packet, const uint8_t *bytes, size_t length)
{
	struct buffer body = { 0 };
	uint64_t number;
	uint16_t flags = 0;

	if (packet->kind == PACKET_ASK) {
		take_ask(master, entry, packet, bytes, length);
		return;
	}
	if (packet->kind == PACKET_SESSION && packet->asked && !entry->starts) {
		keeper_count(&master->keeper, entry, unasked_session(master, entry, packet, bytes, length));
		return;
	}
	entry->starts &= packet->kind != PACKET_SESSION;
	if (packet->kind == PACKET_SESSION || (packet->kind == PACKET_LOGIN && !entry->confirmed))
		promise_address(master, entry, packet->address);
	entry->ended_upstream &= packet->kind != PACKET_SESSION;
	if (is_own_disconnect(master, entry, packet)) {
		entry->ended_upstream = true;
		flags = entry->superseded ? FRAME_FLAG_REPLACED : 0;
	}
	number = keeper_keep(&master->keeper, entry, bytes, length);
	entry->managed |= packet->manages && wellformed_fault(bytes, length) == NULL;
	if (number == 0) {
		keeper_count(&master->keeper, entry, send_back(master, entry, packet, bytes, length));
		router_close(master, entry, END_BROKEN);
		return;
	}
	packets_note(master);
	message_put_number(&body, number);
	channel_send_parts(&master->pool.workers[entry->worker].channel, M2W_PACKET, flags, entry->slot, entry->serial,
	    &body, bytes, length);
	buffer_deinit(&body);
	if (keeper_is_full(&master->keeper))
		make_room(master);
}

/* False: it was the answer to a probe, and that is all; else it is for the client, or what `out` holds then is. */
static bool
is_for_client(struct master *master, struct entry *entry, const struct packet *packet, const uint8_t *bytes,
    size_t length, struct buffer *out)
{
	if (is_told_later(master, entry, packet))
		return false;
	if (!entry->doubtful && !entry->probed)
		return true;
	return probe_take(master, entry, is_own_disconnect(master, entry, packet), bytes, length, out) != PROBE_TAKEN;
}

/* It is counted already. */
static void
take(struct master *master, struct entry *entry, const struct packet *packet, const uint8_t *bytes, size_t length)
{
	struct buffer instead = { 0 };
	struct packet other;

	if (!is_for_client(master, entry, packet, bytes, length, &instead)) {
		keeper_count(&master->keeper, entry, FATE_CONSUMED);
	} else if (buffer_length(&instead) > 0) {
		master->link.dialect->link_read(&other, buffer_bytes(&instead), buffer_length(&instead));
		deliver(master, entry, &other, buffer_bytes(&instead), buffer_length(&instead));
	} else {
		deliver(master, entry, packet, bytes, length);
	}
	buffer_deinit(&instead);
}

/* Of whom nothing has gone up no id is known there: what is sent to it all the same is for nobody. */
static struct entry *
entry_of(struct master *master, const struct packet *packet)
{
	struct entry *entry;

	if (!range_equals(packet->name, master->link.name))
		return NULL;
	entry = directory_find(&master->directory, packet->id);
	return entry != NULL && entry->spoke ? entry : NULL;
}

/* It was on its way when its client went. */
static enum fate
fate_of_late(struct master *master, const struct packet *packet, const uint8_t *bytes, size_t length)
{
	/* The session manager still has it, as all that the client had not acknowledged. */
	if (packet->kind != PACKET_ASK && range_equals(packet->name, master->link.name) &&
	    directory_was_managed(&master->directory, packet->id))
		return FATE_CONSUMED;
	return send_back(master, NULL, packet, bytes, length);
}

void
router_from_link(struct master *master, const uint8_t *bytes, size_t length)
{
	struct entry *entry = NULL;
	struct packet packet;

	master->link.dialect->link_read(&packet, bytes, length);
	if (packet.kind != PACKET_OWN && packet.kind != PACKET_LOST)
		entry = entry_of(master, &packet);
	keeper_count(&master->keeper, entry, FATE_IN);
	if (entry != NULL) {
		take(master, entry, &packet, bytes, length);
	} else if (packet.kind == PACKET_OWN) {
		keeper_count(&master->keeper, NULL, FATE_CONSUMED);
		control_answer(&master->control, bytes, length);
	} else if (packet.kind == PACKET_LOST) {
		dropped(master, "has no address");
		keeper_count(&master->keeper, NULL, FATE_DROPPED);
	} else {
		keeper_count(&master->keeper, NULL, fate_of_late(master, &packet, bytes, length));
	}
}

/* ---- from the workers ---- */

/* Has the session manager given it this address, or one of this account, in an answer that the worker has not consumed yet? */
static bool
was_given(const struct master *master, const struct entry *entry, struct range wanted, bool account)
{
	const struct kept *kept;
	struct packet packet;
	bool same = false;

	STAILQ_FOREACH(kept, &entry->kept, entry) {
		char *given;

		master->link.dialect->link_read(&packet, kept->bytes, kept->length);
		if (packet.kind != PACKET_SESSION && (packet.kind != PACKET_LOGIN || entry->confirmed))
			continue;
		/* Decoded as the worker does, whatever it is that was given. */
		given = range_strdup_decoded(packet.address);
		same = given != NULL && (account ? range_decodes_to_bytes(wanted, given, strcspn(given, "/")) :
		    range_equals(wanted, given));
		free(given);
		if (same)
			break;
	}
	return same;
}

/*
 * Whose session it asks for: of the account that an answer of the session manager's has said it is, and of no other. Another
 * answer may have passed since then.
 */
static bool
may_start(const struct master *master, const struct entry *entry, struct range account)
{
	if (entry->address == NULL)
		return false;
	return range_decodes_to_bytes(account, entry->address, strcspn(entry->address, "/")) ||
	    was_given(master, entry, account, true);
}

/* A worker may have settings of before, in which there were others. */
static bool
is_our_host(const struct master *master, struct range host)
{
	for (unsigned i = 0; i < master->options->host_count; i++) {
		if (range_decodes_to(host, master->options->hosts[i].name))
			return true;
	}
	return false;
}

enum contract_breach
router_from_worker(struct master *master, struct entry *entry, const struct frame *frame)
{
	struct worker_process *worker = &master->pool.workers[entry->worker];
	char id[DIRECTORY_ID_SIZE];
	struct range to;

	entry->spoke = true;
	switch (master->link.dialect->link_verify(frame->body, frame->length, directory_id(&master->directory, entry, id),
	    master->link.name, entry->confirmed ? entry->address : NULL, &to)) {
	case VERDICT_FORGED:
		return BREACH_FORGED;
	case VERDICT_OPENS:
		if (directory_set_host(&master->directory, entry, to, is_our_host(master, to)))
			break;
		router_close(master, entry, END_BROKEN);
		return BREACH_NONE;
	case VERDICT_STARTS:
		if (!may_start(master, entry, to))
			return BREACH_FORGED;
		entry->starts = true;
		break;
	case VERDICT_NOTICE:
		if (master->options->link.notify == NULL || !range_decodes_to(to, master->options->link.notify) ||
		    entry->notice != NULL)
			return BREACH_FORGED;
		if (!directory_set_notice(&master->directory, entry, (struct range){ (const char *)frame->body, frame->length }))
			router_close(master, entry, END_BROKEN);
		break;
	case VERDICT_PACKET:
		break;
	}
	/*
	 * It would reach nobody. What a client sent is on the link, or its connection is broken: it is its turn now.
	 */
	if (entry->forgotten) {
		router_close(master, entry, END_FORGOTTEN);
		return BREACH_NONE;
	}
	if (master->pool.stopped) {
		worker->after_stop += frame->length;
		if (worker->after_stop > UNDER_WAY_MAX)
			return BREACH_FLOW;
	}
	/* What a client sent is on the link, or its connection is broken. */
	if (!send_up_from(master, entry, entry->serial, frame->body, frame->length))
		router_close(master, entry, END_BROKEN);
	return BREACH_NONE;
}

void
router_given_up(struct master *master, uint64_t from)
{
	for (struct entry *entry = NULL; from != 0 && (entry = directory_next(&master->directory, entry)) != NULL;) {
		if (entry->serial == from)
			router_close(master, entry, END_GIVEN_UP);
	}
}

enum contract_breach
router_session(struct master *master, struct entry *entry, const struct frame *frame)
{
	struct range address = { (const char *)frame->body, frame->length };

	if (memchr(address.at, '\0', address.length) != NULL)
		return BREACH_BODY;
	if (!was_given(master, entry, address, false))
		return BREACH_CLIENT;
	if (!directory_set_address(&master->directory, entry, address))
		router_close(master, entry, END_BROKEN);
	else if (!entry->confirmed)
		gate_logged_in(master, entry);
	entry->confirmed = true;
	if (entry->doubtful)
		probe_confirmed(master);
	return BREACH_NONE;
}

enum contract_breach
router_renew(struct master *master, struct entry *entry)
{
	bool may = entry->tls == LISTEN_TLS_STARTTLS || entry->tls == LISTEN_TLS_BOTH;
	uint64_t before = entry->serial;
	struct buffer body = { 0 };

	if (!may || entry->renewed || entry->confirmed || !entry->spoke)
		return BREACH_RENEWAL;
	entry->goodbye = true;
	settle_end(master, entry);
	directory_renew(&master->directory, entry);
	control_renewed(&master->control, entry, before);
	spread_renewed(&master->spread, entry);
	message_put_number(&body, entry->serial);
	channel_send(&master->pool.workers[entry->worker].channel, M2W_RENEWED, entry->slot, before, &body);
	buffer_deinit(&body);
	router_check_room(master);
	return BREACH_NONE;
}

enum contract_breach
router_number(struct master *master, struct entry *entry, const struct frame *frame)
{
	uint64_t number;
	bool known;

	if (!message_get_number(frame, &number))
		return BREACH_BODY;
	if (frame->type == W2M_SETTLED)
		entry->progress = loop_now(&master->loop);
	if (frame->type == W2M_SETTLED && number == 0)
		return BREACH_NONE;
	do
		known = frame->type == W2M_SETTLED ? keeper_settle(&master->keeper, entry, number) :
		    keeper_consume(&master->keeper, entry, number);
	while (answer_first_ask(master, entry));
	router_check_room(master);
	return known ? BREACH_NONE : BREACH_CLIENT;
}
