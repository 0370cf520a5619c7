/*
 * stamp: sto and sfrom on every element, and the 510 for what is gone (README.SM.txt, the founding document; doc/link.md
 * "Addresses", "510"): what the dialects sfrom and xmpp have in common. Pure; ranges point into the caller's bytes.
 */
#ifndef C2SD_DIALECT_STAMP_H
#define C2SD_DIALECT_STAMP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "dialect/dialect.h"
#include "dialect/edit.h"
#include "dialect/element.h"

/* <settle/>: doc/link.md, "Until a client has taken it" */
#define STAMP_NS_SETTLE "urn:x-c2sd:settle:0"

/* The attributes that say whose and what a packet is, as on the wire. */
struct stamp {
	struct range sto, sfrom, to, from, id, type;
};

/* "sto", "sfrom", NULL */
extern const char *const stamp_names[];

/* In one pass: this is done for every packet. An empty sfrom is none. */
void stamp_read(struct stamp *stamp_r, const struct element *element);

/*
 * Whose packet is it? Its kind is PACKET_OWN, PACKET_LOST, PACKET_DISCONNECT for a 510 of type error, which is expendable
 * when nothing else is in it, or PACKET_DATA.
 */
void stamp_packet(struct packet *packet_r, const struct element *element, const struct stamp *stamp);

/*
 * struct dialect: link_read, where `read` is stamp_packet and what the dialect itself sees in a packet. One that is not
 * well-formed is data: the worker will not believe it, so that it must neither give anybody an address nor end a session.
 */
void stamp_link_read(struct packet *packet_r, const void *bytes, size_t length,
    void (*read)(struct packet *packet_r, const struct element *element, const struct stamp *stamp));

/*
 * What struct dialect's client_packet begins with. False: it cannot be delivered, and the others are not set (its parser
 * would end the client's stream, and the next client that gets it would be ended as well).
 */
bool stamp_arrive(struct element *element_r, struct stamp *stamp_r, struct packet *packet_r, const void *bytes,
    size_t length, void (*read)(struct packet *packet_r, const struct element *element, const struct stamp *stamp));

/* Does it end this client's session or, before login, its stream? */
bool stamp_ends(const struct packet *packet, const struct dialect_client *client);

/* struct dialect: link_bounce */
void stamp_bounce(struct buffer *out, const void *bytes, size_t length);

/* struct dialect: link_answer */
void stamp_answer(struct buffer *out, const void *bytes, size_t length);

/* A 510 with nothing in it. */
void stamp_append_end(struct buffer *out, const char *id, const char *name, const char *address);

/* Append " sfrom='ID@NAME'". */
void stamp_append_own_address(struct buffer *out, const char *id, const char *name);

/*
 * One well-formed element, from ID@NAME to `address` (NULL: to a host, which `to_r` is then), whose name nobody takes for
 * one of the link's or the stream's own?
 */
bool stamp_is_genuine(struct element *element_r, const void *bytes, size_t length, const char *id, const char *name,
    const char *address, struct range *to_r);

/* Could there be an <error/> in it? Nearly every packet is done with by this, at the speed of memmem. */
bool stamp_may_hold_error(const struct element *element);

/* A 510 is what its sender may say, and a client may not (doc/design.md 3): cut such a code out of a child <error/>. */
void stamp_cut_510(struct edit *edit, const struct element *error);

/* Append a packet without its stamps, for its client. */
void stamp_strip(struct buffer *down, const struct element *element);

/*
 * The same, for a client since RFC 3920 whose full JID is `jid` (absent: as above). jabberd signs what the account itself answers
 * with the full JID of who has asked, and sends it to nobody. Clients of today take an answer from the account, or from nobody
 * in particular (RFC 6120 8.1.2.1), and wait for ever behind another: theirs comes from nobody.
 */
void stamp_deliver(struct buffer *down, const struct element *element, struct range jid);

/* client->address is that of this packet from now on. 0; -ENOMEM; -EMSGSIZE: too long. */
int stamp_take_address(struct dialect_client *client, struct range raw) __attribute__((warn_unused_result));

#endif
