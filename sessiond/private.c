#include "sessiond/private.h"

#include <string.h>

#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/sessiond.h"

static enum stanza_error
piece_write(struct sessiond *sd, const char *account, const char *key, const struct node *piece)
{
	struct buffer text = { 0 };
	enum stanza_error error = 0;

	if (store_number(&sd->store, STORE_PRIVATE_COUNT, "tt", account, key) >= PRIVATE_PIECES_MAX)
		return STANZA_RESOURCE_CONSTRAINT;
	node_write(&text, piece, NULL, NULL);
	buffer_append(&text, "", 1);
	if (text.failed)
		sd->link.broken = true;
	else if (buffer_length(&text) > PRIVATE_BYTES_MAX)
		error = STANZA_NOT_ACCEPTABLE;
	else
		store_execute(&sd->store, STORE_PRIVATE_WRITE, "ttt", account, key, (const char *)buffer_bytes(&text));
	buffer_deinit(&text);
	return error;
}

/* NULL: nothing was stored under that key. */
static struct node *
piece_read(struct sessiond *sd, const char *account, const char *key)
{
	sqlite3_stmt *row = store_query(&sd->store, STORE_PRIVATE_READ, "tt", account, key);
	struct node *piece = NULL;
	const char *text;

	if (!store_row(&sd->store, row))
		return NULL;
	text = store_text(row, 0);
	if (text != NULL && node_parse(&sd->arena, text, strlen(text), &piece) != NODE_READ)
		piece = NULL;
	store_rest(row);
	return piece;
}

static enum stanza_error
piece_answer(struct sessiond *sd, const struct packet *packet, struct node *answer, enum stanza_error error)
{
	if (sd->store.failed)
		return STANZA_INTERNAL_SERVER_ERROR;
	if (error == 0)
		packet_answer(sd, packet, answer);
	return error;
}

enum stanza_error
private_handle(struct sessiond *sd, struct packet *packet, struct node *query)
{
	const char *account = packet->session->user->jid;
	struct node *answer = stanza_result(packet->stanza);
	struct node *piece = node_child(query);
	struct node *stored;
	const char *key;

	/* XEP-0049: one element, in a namespace of its own, which is its key. */
	if (piece == NULL || node_next(piece) != NULL)
		return STANZA_BAD_REQUEST;
	if (piece->xmlns == NULL || *piece->xmlns == '\0' || strcmp(piece->xmlns, NS_PRIVATE) == 0 ||
	    strcmp(piece->xmlns, NS_VCARD) == 0)
		return STANZA_NOT_ACCEPTABLE;
	key = piece->xmlns;
	if (node_has(packet->stanza, "type", "set"))
		return piece_answer(sd, packet, answer, piece_write(sd, account, key, piece));
	stored = piece_read(sd, account, key);
	query = node_add(answer, "query", NS_PRIVATE);
	node_attach(query, stored != NULL ? stored : node_new(&sd->arena, piece->name, piece->xmlns));
	return piece_answer(sd, packet, answer, 0);
}

enum stanza_error
private_vcard(struct sessiond *sd, struct packet *packet, struct node *card)
{
	const char *to = node_get(packet->stanza, "to");
	const char *own = packet->session->user->jid;
	struct node *answer = stanza_result(packet->stanza);
	struct node *stored;
	struct jid jid;
	char account[JID_SIZE];

	if (!jid_parse(&jid, to == NULL ? own : to))
		return STANZA_JID_MALFORMED;
	jid_write_bare(&jid, account);
	if (node_has(packet->stanza, "type", "set")) {
		if (strcmp(account, own) != 0)
			return STANZA_NOT_ALLOWED;
		return piece_answer(sd, packet, answer, piece_write(sd, account, NS_VCARD, card));
	}
	stored = piece_read(sd, account, NS_VCARD);
	/* Whether somebody has no card or is nobody is not told apart. */
	if (stored == NULL && strcmp(account, own) != 0)
		return STANZA_SERVICE_UNAVAILABLE;
	node_attach(answer, stored != NULL ? stored : node_new(&sd->arena, "vCard", NS_VCARD));
	return piece_answer(sd, packet, answer, 0);
}
