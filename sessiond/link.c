#include "sessiond/link.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "sessiond/node.h"
#include "sessiond/packet.h"
#include "sessiond/sessiond.h"

#define SHA1_SIZE 20
#define SHA1_HEX_SIZE (2 * SHA1_SIZE + 1)

void
link_init(struct link *link, const struct link_dialect *dialect)
{
	*link = (struct link){ .dialect = dialect, .state = LINK_HEADER };
	STAILQ_INIT(&link->marks);
	splitter_init(&link->splitter, LINK_ELEMENT_MAX);
	ledger_init(&link->ledger);
}

static void
marks_clear(struct link *link)
{
	struct link_mark *mark;

	while ((mark = STAILQ_FIRST(&link->marks)) != NULL) {
		STAILQ_REMOVE_HEAD(&link->marks, entry);
		free(mark);
	}
}

void
link_deinit(struct link *link)
{
	marks_clear(link);
	ledger_deinit(&link->ledger);
	buffer_deinit(&link->in);
	buffer_deinit(&link->turn);
	buffer_deinit(&link->out);
}

/* What is in `out` and matters is in the ledger, too. */
void
link_lost(struct link *link)
{
	ledger_suspend(&link->ledger);
	marks_clear(link);
	buffer_deinit(&link->in);
	buffer_deinit(&link->turn);
	buffer_deinit(&link->out);
	splitter_init(&link->splitter, LINK_ELEMENT_MAX);
	link->packet_start = 0;
	link->refused = link->waiting = false;
	link->state = LINK_HEADER;
}

static void
hex_write(char *hex_r, const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		snprintf(hex_r + 2 * i, 3, "%02x", bytes[i]);
}

static void
link_header(struct sessiond *sd)
{
	struct link *link = &sd->link;
	unsigned char random[16];

	arc4random_buf(random, sizeof random);
	hex_write(link->id, random, sizeof random);
	link->dialect->header(&link->turn, link->id, sd->settings->name);
	link->state = LINK_HANDSHAKE;
}

static void
link_refuse(struct link *link, enum stream_condition condition, const char *reason)
{
	log_warning("link refused reason=\"%s\"", reason);
	link->dialect->fault(&link->turn, condition, reason);
	buffer_append_string(&link->turn, "</stream:stream>");
	link->refused = true;
	link->state = LINK_CLOSED;
}

static bool
handshake_is_good(const struct sessiond *sd, const char *given)
{
	unsigned char digest[SHA1_SIZE];
	char expected[SHA1_HEX_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good;

	good = context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(context, sd->link.id, strlen(sd->link.id)) == 1 &&
	    EVP_DigestUpdate(context, sd->settings->secret, strlen(sd->settings->secret)) == 1 &&
	    EVP_DigestFinal_ex(context, digest, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!good || given == NULL || strlen(given) != SHA1_HEX_SIZE - 1)
		return false;
	hex_write(expected, digest, sizeof digest);
	return CRYPTO_memcmp(expected, given, SHA1_HEX_SIZE - 1) == 0;
}

static void
link_handshake(struct sessiond *sd, const struct node *node)
{
	/* The stream stays open, as the original left it (link-protocol 1.1). */
	if (strcmp(node->name, "handshake") != 0) {
		sd->link.dialect->fault(&sd->link.turn, CONDITION_NOT_AUTHORIZED, "Must send handshake first");
		return;
	}
	if (!handshake_is_good(sd, node_text(node))) {
		link_refuse(&sd->link, CONDITION_NOT_AUTHORIZED, "Invalid Handshake");
		return;
	}
	buffer_append_string(&sd->link.turn, "<handshake/>");
	sd->link.state = LINK_READY;
	log_info("link open");
}

/* What is shown of an address in the log. */
#define ADDRESS_LOGGED 400

/* Where it ends is known, so it costs nobody else anything: the link is all clients' link. */
static void
link_malformed(struct sessiond *sd, const char *bytes, size_t length)
{
	struct node *node = packet_salvage(sd, bytes, length);
	char sfrom[ADDRESS_LOGGED];

	log_warning("packet unreadable bytes=%zu sfrom=%s", length,
	    log_quote(sfrom, sizeof sfrom, node == NULL ? NULL : node_get(node, "sfrom")));
	if (node != NULL)
		packet_handle(sd, node, NODE_MALFORMED);
}

/* Acknowledgement is not for packets to know of. */
static bool
link_own(struct sessiond *sd, const char *bytes, size_t length)
{
	const char *breach;

	if (sd->link.state != LINK_READY)
		return false;
	if (!ledger_take(&sd->link.ledger, bytes, length, sd->settings->acknowledge, &breach))
		return false;
	if (breach != NULL) {
		ledger_forget(&sd->link.ledger);
		link_refuse(&sd->link, CONDITION_POLICY_VIOLATION, breach);
	}
	return true;
}

static void
link_element(struct sessiond *sd, const char *bytes, size_t length)
{
	struct node *node;
	int result;

	if (link_own(sd, bytes, length))
		return;
	result = node_parse(&sd->arena, bytes, length, &node);
	if (result == NODE_MALFORMED && sd->link.state == LINK_READY)
		link_malformed(sd, bytes, length);
	else if (result == NODE_MALFORMED)
		link_refuse(&sd->link, CONDITION_INVALID_XML, "Invalid XML");
	else if (result >= 0 && sd->link.state == LINK_HANDSHAKE)
		link_handshake(sd, node);
	else if (result >= 0)
		packet_handle(sd, node, (enum node_result)result);
	if (sd->arena.failed || sd->link.turn.failed || result == -ENOMEM)
		sd->link.broken = true;
	arena_reset(&sd->arena);
}

static void
link_end(struct link *link)
{
	buffer_append_string(&link->turn, "</stream:stream>");
	link->state = LINK_CLOSED;
}

/* False: there is nothing more to be had from these bytes. */
static bool
link_event(struct sessiond *sd)
{
	struct link *link = &sd->link;
	struct splitter_event event = { 0 };
	const char *bytes = (const char *)buffer_bytes(&link->in);
	enum splitter_event_type type = splitter_next(&link->splitter, bytes, buffer_length(&link->in), &event);

	switch (type) {
	case SPLITTER_HEADER:
		link_header(sd);
		break;
	case SPLITTER_ELEMENT:
		link_element(sd, bytes + event.skip, event.length);
		break;
	case SPLITTER_END:
		link_end(link);
		break;
	case SPLITTER_BROKEN:
		link_refuse(link, CONDITION_INVALID_XML, "Invalid XML");
		return false;
	case SPLITTER_TOO_LONG:
		link_refuse(link, CONDITION_POLICY_VIOLATION, "Element too long");
		return false;
	case SPLITTER_MORE:
		buffer_consume(&link->in, event.skip);
		return false;
	}
	buffer_consume(&link->in, event.skip + event.length);
	return !link->broken && link->state != LINK_CLOSED;
}

/* Behind a failure nothing could be read: who comes next is served in the next turn. */
static bool
turn_is_full(const struct sessiond *sd)
{
	return sd->hashes >= SESSIOND_HASHES_MAX || sd->store.failed;
}

int
link_input(struct sessiond *sd, const void *bytes, size_t length)
{
	struct link *link = &sd->link;

	link->waiting = false;
	if (link->broken)
		return -ENOMEM;
	if (link->state == LINK_CLOSED)
		return 0;
	buffer_append(&link->in, bytes, length);
	if (link->in.failed) {
		link->broken = true;
		return -ENOMEM;
	}
	while (buffer_length(&link->in) > 0 && !turn_is_full(sd) && link_event(sd))
		;
	link->waiting = turn_is_full(sd) && link->state != LINK_CLOSED && buffer_length(&link->in) > 0;
	buffer_release(&link->in);
	return link->broken ? -ENOMEM : 0;
}

void
link_send(struct sessiond *sd, const struct node *stanza, const char *sto, const char *sfrom)
{
	node_write(&sd->link.turn, stanza, sto, sfrom);
}

void
link_send_of_stream(struct sessiond *sd, const struct node *element, const char *sto, const char *sfrom)
{
	node_write_of_stream(&sd->link.turn, element, sto, sfrom);
}

bool
link_send_answer(struct sessiond *sd, const struct node *stanza, const char *sto, const char *sfrom)
{
	struct buffer *turn = &sd->link.turn;
	size_t before = buffer_length(turn);

	link_send(sd, stanza, sto, sfrom);
	if (buffer_length(turn) - before <= LINK_ANSWER_MAX)
		return true;
	turn->end = turn->start + before;
	return false;
}

static void
append_attribute(struct buffer *buffer, const char *name, const char *value)
{
	buffer_append_format(buffer, " %s='", name);
	buffer_append_escaped(buffer, value, strlen(value));
	buffer_append(buffer, "'", 1);
}

void
link_send_text(struct sessiond *sd, const char *text, const char *sto, const char *sfrom, const char *to)
{
	struct buffer *turn = &sd->link.turn;
	size_t name_end = strcspn(text, " />");

	/* The text is ours: node_write wrote it. */
	if (text[name_end] == '\0')
		return;
	buffer_append(turn, text, name_end);
	append_attribute(turn, "sto", sto);
	append_attribute(turn, "sfrom", sfrom);
	if (to != NULL)
		append_attribute(turn, "to", to);
	buffer_append_string(turn, text + name_end);
}

void
link_send_end(struct sessiond *sd, const char *id, const char *address, enum stream_condition condition, const char *text)
{
	sd->link.dialect->end(sd, id, address, condition, text);
}

void
link_packet_begin(struct sessiond *sd)
{
	sd->store.touched = false;
	sd->link.packet_start = buffer_length(&sd->link.turn);
}

void
link_packet_mark(struct sessiond *sd, size_t answers_end)
{
	struct link *link = &sd->link;
	size_t length = buffer_length(&link->turn) - answers_end;
	struct link_mark *mark = malloc(sizeof *mark + length);

	if (mark == NULL) {
		link->broken = true;
		return;
	}
	mark->start = link->packet_start;
	mark->end = answers_end;
	mark->length = length;
	if (length > 0)
		memcpy(mark->answer, buffer_bytes(&link->turn) + answers_end, length);
	link->turn.end -= length;
	STAILQ_INSERT_TAIL(&link->marks, mark, entry);
}

static void
link_turn_fail(struct link *link)
{
	struct buffer turn = { 0 };
	const struct link_mark *mark;
	size_t done = 0;

	STAILQ_FOREACH(mark, &link->marks, entry) {
		buffer_append(&turn, buffer_bytes(&link->turn) + done, mark->start - done);
		buffer_append(&turn, mark->answer, mark->length);
		done = mark->end;
	}
	if (buffer_length(&link->turn) > done)
		buffer_append(&turn, buffer_bytes(&link->turn) + done, buffer_length(&link->turn) - done);
	link->broken = link->broken || turn.failed;
	buffer_deinit(&link->turn);
	link->turn = turn;
}

/* With it goes what the turn has to say until now. */
static int
commit(struct sessiond *sd, bool under_way)
{
	struct link *link = &sd->link;
	int error;

	recovery_prepare(sd, under_way);
	error = store_commit(&sd->store);
	recovery_decided(sd, error == 0);
	if (error < 0 && under_way)
		link->turn.end = link->turn.start + link->packet_start;
	if (error < 0)
		link_turn_fail(link);
	marks_clear(link);
	link->packet_start = buffer_length(&link->turn);
	return error;
}

int
link_turn_commit(struct sessiond *sd)
{
	return commit(sd, false);
}

int
link_packet_commit(struct sessiond *sd)
{
	return commit(sd, true);
}

/* `length` bytes of the turn have gone to the end of `out`. */
static void
ledger_turn(struct link *link, size_t length)
{
	const uint8_t *bytes = length == 0 ? NULL : buffer_bytes(&link->out) + buffer_length(&link->out) - length;
	struct buffer more = { 0 };

	if (link->out.failed)
		return;
	if (!ledger_release(&link->ledger, bytes, length, buffer_length(&link->out), &more) && link->state != LINK_CLOSED) {
		link_refuse(link, CONDITION_POLICY_VIOLATION, "Acknowledges nothing");
		buffer_append(&more, buffer_bytes(&link->turn), buffer_length(&link->turn));
		buffer_clear(&link->turn);
	}
	buffer_append(&link->out, buffer_bytes(&more), buffer_length(&more));
	link->out.failed = link->out.failed || more.failed;
	buffer_deinit(&more);
}

void
link_turn_release(struct link *link)
{
	size_t length = buffer_length(&link->turn);
	struct buffer empty;

	if (link->broken || link->turn.failed)
		return;
	if (buffer_length(&link->out) == 0) {
		empty = link->out;
		link->out = link->turn;
		link->turn = empty;
	} else {
		buffer_append(&link->out, buffer_bytes(&link->turn), buffer_length(&link->turn));
	}
	buffer_clear(&link->turn);
	ledger_turn(link, length);
	link->broken = link->out.failed || link->ledger.failed;
	buffer_release(&link->turn);
}
