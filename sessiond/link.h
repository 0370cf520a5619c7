/*
 * link: the session manager's end of the link to the socket manager (README.SM.txt; doc/link.md): header and handshake,
 * the packets that come in, and the output. What its dialects do in different ways is in link_dialect.h.
 *
 * Output is collected in `turn` and moves to `out`, from where it may be written, when the turn's transaction was
 * committed. Packets that wrote to the database are marked: where their answers stand in `turn`, and what takes the
 * place of these answers when the commit fails.
 */
#ifndef C2SD_SESSIOND_LINK_H
#define C2SD_SESSIOND_LINK_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "dialect/splitter.h"
#include "sessiond/ledger.h"
#include "sessiond/link_dialect.h"

struct sessiond;
struct node;

/*
 * Longest answer that is sent: below what the master takes as one packet unless told otherwise (packet-bytes, 4 MiB). A
 * roster or a list of accounts that would be longer is refused instead.
 */
#define LINK_ANSWER_MAX (3 * 1024 * 1024)

/*
 * Longest element that is taken. An element above it ends the link, and would do so again each time that it is sent, so
 * it must be out of reach of what a client sends (the master bounds that: limits, at most 1 MiB; nothing grows on its
 * way but by two addresses) and of what comes back with a 510 of what was sent from here (an answer, or a packet of a
 * client with another address and its stamps).
 */
#define LINK_ELEMENT_MAX (8 * 1024 * 1024)

enum link_state {
	LINK_HEADER,		/* waiting for the socket manager's header */
	LINK_HANDSHAKE,		/* waiting for the secret */
	LINK_READY,
	LINK_CLOSED,
};

struct link_mark {
	STAILQ_ENTRY(link_mark) entry;
	size_t start;		/* of the answers in `turn` */
	size_t end;
	size_t length;
	char answer[];
};

struct link {
	const struct link_dialect *dialect;
	enum link_state state;
	bool refused;		/* closed because of the other side: wrong secret, not XML */
	bool waiting;		/* there may be more in `in`, for the next turn */
	bool broken;		/* no memory: see the head of sessiond.h */
	char id[33];
	struct splitter splitter;
	struct buffer in;
	struct buffer turn;
	struct buffer out;
	struct ledger ledger;
	size_t packet_start;	/* in `turn`: answers of the packet under way */
	STAILQ_HEAD(link_marks, link_mark) marks;
};

void link_init(struct link *link, const struct link_dialect *dialect);
void link_deinit(struct link *link);

/* Bytes from the socket manager. 0, or -ENOMEM. */
int link_input(struct sessiond *sd, const void *bytes, size_t length) __attribute__((warn_unused_result));

/* Send a stanza. link_send_answer: unless it is above LINK_ANSWER_MAX; false then, and nothing was sent. */
bool link_send_answer(struct sessiond *sd, const struct node *stanza, const char *sto, const char *sfrom);
void link_send(struct sessiond *sd, const struct node *stanza, const char *sto, const char *sfrom);

/* Send <stream:features/> and <stream:error/>. */
void link_send_of_stream(struct sessiond *sd, const struct node *element, const char *sto, const char *sfrom);

/* Send one that was written before; `to`, unless NULL, is put in. The text must have none. */
void link_send_text(struct sessiond *sd, const char *text, const char *sto, const char *sfrom, const char *to);

/* Client `id` is over: link_dialect.h, `end`. */
void link_send_end(struct sessiond *sd, const char *id, const char *address, enum stream_condition condition,
    const char *text);

/* From here on answers belong to another packet. */
void link_packet_begin(struct sessiond *sd);

/*
 * The packet under way depends on the turn's commit. What is written to the link after `answers_end` is cut off again
 * and kept as its answer for the case that the commit fails.
 */
void link_packet_mark(struct sessiond *sd, size_t answers_end);

/*
 * Commit now. 0, or -EIO: rolled back, and the answers of all marked packets were exchanged. link_packet_commit: in the
 * middle of a packet, which is handled again when the process ends behind this and before the turn does. What it has said
 * until then counts with the commit, or is cut off when that fails.
 */
int link_turn_commit(struct sessiond *sd) __attribute__((warn_unused_result));
int link_packet_commit(struct sessiond *sd) __attribute__((warn_unused_result));

/* Let the turn's answers go out. */
void link_turn_release(struct link *link);

/* The connection is gone, and everything that came by it has had its turn: wait for the header of another. */
void link_lost(struct link *link);

#endif
