/*
 * packet: one stanza from the link with its two addresses, and where it goes: to the services before login, to the
 * session that it belongs to, or back (README.SM.txt, "the 510 error"; link-protocol 1.2, 1.5).
 */
#ifndef C2SD_SESSIOND_PACKET_H
#define C2SD_SESSIOND_PACKET_H

#include <stdbool.h>

#include "sessiond/stanza.h"

struct sessiond;
struct session;

struct packet {
	struct node *stanza;		/* without sto and sfrom; in a session `from` is the session's address */
	const char *sto;
	const char *sfrom;
	const char *host;		/* of `sto`, before login: prepared; NULL: it is no address */
	bool lost;			/* `sto` is the address of a session that is not here */
	const char *answer_from;	/* sfrom of answers: the host before login, user@host in a session */
	struct session *session;	/* NULL before login; gone when the packet removed its own account */
	bool keep;			/* its answers stay true when the commit fails */
};

/*
 * Handle one element of the link, of which `result` could be read: all of it, the upper part, or nothing but whose it
 * is (packet_salvage).
 */
void packet_handle(struct sessiond *sd, struct node *stanza, enum node_result result);

/*
 * Of an element that is no XML: the stanza's name and the attributes that say whose it is, so that its sender can be
 * told. In the arena; NULL: not even that can be read, or it is an error or an answer, which are not answered.
 */
struct node *packet_salvage(struct sessiond *sd, const char *bytes, size_t length);

/*
 * Nobody here has the session that the packet names: the socket manager ends the client (link-protocol 1.5 b), and a
 * packet that its sender should hear of goes back.
 */
void packet_bounce(struct sessiond *sd, const struct packet *packet);

/* Refuse one that could not be read. */
void packet_unread(struct sessiond *sd, const struct packet *packet, enum node_result result);

/* Before login, type get or set: what the operator asks for, and jabber:iq:auth and jabber:iq:register of clients. */
enum stanza_error packet_ask(struct sessiond *sd, struct packet *packet);

/* The bare 510 (link-protocol 1.5 a): the session `address` of client `id` is over. */
void packet_send_510(struct sessiond *sd, const char *id, const char *address);

/* Answer to the client that sent the packet; with an error where the answer is too long for the link. */
void packet_answer(struct sessiond *sd, const struct packet *packet, const struct node *stanza);

/* Answer with an error, unless the stanza is one that never gets any. */
void packet_refuse(struct sessiond *sd, const struct packet *packet, enum stanza_error error, const char *text);

#endif
