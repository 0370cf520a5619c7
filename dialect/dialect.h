/*
 * dialect: how the packets of clients travel on the link (doc/link.md; doc/design.md "The link").
 *
 * A dialect is one file with two halves. The link half is used by the master and looks at the address of a packet and
 * nothing else: whose is it, what kind is it, what is its bounce. The worker half knows what a client may send, what is
 * sent up for it, and what an arriving packet means to it. Nothing else in the program knows which dialect is in use.
 *
 * Both halves are pure: bytes and a small struct in, bytes and an outcome out; no descriptor, no clock, no log.
 *
 * Words: `id` is the name that c2sd gave the client ([0-9a-z.-], at most 64 characters), `name` the name of this socket
 * manager on the link ("foo-sockets"), `address` what the session manager wants to read as `sto` for a session.
 */
#ifndef C2SD_DIALECT_DIALECT_H
#define C2SD_DIALECT_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "dialect/element.h"

/* ---- link half ---- */

enum packet_kind {
	PACKET_DATA,		/* for the client */
	/* Either of these two is well-formed (dialect/wellformed); of the others that is not known. */
	PACKET_LOGIN,		/* looks like a positive answer to a login (in session any iq result may): `address` */
	PACKET_DISCONNECT,	/* a 510 for the client; whether it ends it: dialect_ends_session */
	PACKET_OWN,		/* addressed to `name` itself, not to one of its clients */
	PACKET_LOST,		/* nobody's: no address that can be read; it cannot be bounced either */
};

struct packet {
	enum packet_kind kind;
	/*
	 * Whom it is for; absent for PACKET_OWN and PACKET_LOST. Where the packet names more than an id of ours can be
	 * (sfrom: a resource behind it) this is the whole of it, with its @: not found by any look-up, and bounced.
	 */
	struct range id;
	struct range name;	/* which socket manager it names */
	/*
	 * Whose packet it is: where a bounce goes, and the new address of a login. Absent where the session manager did
	 * not say: such a packet can be delivered but never be bounced (link_bounce appends nothing).
	 */
	struct range address;
	struct range from;	/* who is said to have written it; absent where nobody is */
	bool bare;		/* PACKET_DISCONNECT without an original packet in it */
	bool disconnect;	/* it holds a 510, whatever its kind: never to be bounced again */
};

/*
 * Does this PACKET_DISCONNECT end the session with that address (before login: that host)? Yes, only when it comes from
 * that very address, and nobody or the session itself (with or without its resource) is said to have written it: a 510
 * is what its sender may say. `address` is plain text, the ranges of `packet` are as on the wire.
 */
bool dialect_ends_session(const struct packet *packet, const char *address);

/* ---- worker half ---- */

/* Longest address of a session, in bytes (RFC 6122 2.1: three parts of 1023): what the contract has room for. */
#define DIALECT_ADDRESS_MAX 3071

/*
 * Attempts to register that one connection may send up: each costs the session manager the hashes of a password and a
 * write to its disk, and nobody has logged in for it.
 */
#define DIALECT_REGISTRATIONS_MAX 5

/*
 * What a dialect keeps for a client: small, plain, and written into one frame when a client moves. All are strings of
 * malloc, without entities; `host` is set by the owner, the others by the dialect. After DIALECT_LOGGED_IN nothing but
 * the address is needed: an owner of many clients may keep that alone, and show it in a struct made for the call.
 */
struct dialect_client {
	char *host;		/* before login: `to` of the client's header */
	char *asked_id;		/* before login: id of the iq that was sent up and is not answered; NULL: none */
	char *asked_user;	/* before login: the username of the last login that was sent up; NULL: none was */
	char *address;		/* of the session; NULL: not logged in */
	bool asked_login;	/* that iq is a login, not a registration */
	uint8_t registrations;	/* attempts to register that were sent up */
};

/* Frees what it keeps; may be called twice. */
void dialect_client_deinit(struct dialect_client *client);

/* What the worker knows and the dialect needs to know; lives as long as the call. */
struct dialect_context {
	const char *id;			/* the client's id */
	const char *name;		/* the socket manager's name: the client's address on the link is ID@NAME */
	const char *stream_id;		/* that the client was told in our header */
	bool digest;			/* the session manager knows passwords, so that digests work */
	bool registration;		/* jabber:iq:register is offered */
};

enum dialect_outcome {
	DIALECT_SEND,		/* from the client: `up` goes to the link */
	DIALECT_ANSWER,		/* from the client: `down` goes back to it, nothing goes up */
	DIALECT_NOT_AUTHORIZED,	/* from the client: it may not send this before it has logged in */
	DIALECT_IGNORE,		/* from the client: nothing to be done */

	DIALECT_DELIVER,	/* from the link: `down` goes to the client and settles the packet */
	DIALECT_LOGGED_IN,	/* from the link: likewise; the client has a session now, client->address */
	DIALECT_LOGIN_REFUSED,	/* from the link: `down` goes to the client; the login it asked for failed */
	DIALECT_END,		/* from the link: the session manager has ended the session */
	DIALECT_UNREADABLE,	/* from the link: not well-formed, or not what this dialect can deliver */
};

struct dialect {
	const char *name;	/* as in the configuration: "sfrom" */

	/* Our header on the link. */
	void (*link_header)(struct buffer *out, const char *name);
	/*
	 * What packet is this? `bytes` is one SPLITTER_ELEMENT; the ranges point into it and are as on the wire, not
	 * decoded.
	 */
	void (*link_read)(struct packet *packet_r, const void *bytes, size_t length);
	/*
	 * What a worker sends up is checked before it is believed, because a worker that was broken into may send anything:
	 * is it one element that every parser reads (dialect/wellformed), none of the link's own, from client `id` of
	 * `name`, to its session's `address` (NULL, before login: to a host)?
	 */
	bool (*link_verify)(const void *bytes, size_t length, const char *id, const char *name, const char *address);
	/*
	 * The 510 that carries the packet back to where it came from; nothing when it does not say where that is, or is not
	 * well-formed.
	 */
	void (*link_bounce)(struct buffer *out, const void *bytes, size_t length);
	/* The 510 without a packet: the session of client `id` is gone. */
	void (*link_end)(struct buffer *out, const char *id, const char *name, const char *address);

	/* Append the children of <stream:features/> for a client that has not logged in. */
	void (*client_features)(struct buffer *down, const struct dialect_context *context);
	/*
	 * A canonical element came from the client; `name_end` as in struct stream_event. Appends to `up` or `down`.
	 * Before login one iq at a time goes up: another one is answered with an error until that one is answered.
	 * An outcome; -ENOMEM; -EINVAL when the bytes are not one complete element.
	 */
	int (*client_element)(struct dialect_client *client, const struct dialect_context *context,
	    const char *bytes, size_t length, size_t name_end, struct buffer *up, struct buffer *down)
	    __attribute__((warn_unused_result));
	/*
	 * A packet for this client came from the link. Appends to `down`. An outcome; -ENOMEM; -EMSGSIZE: it is logged
	 * in with an address above DIALECT_ADDRESS_MAX. Such a client has to be ended, and its session with it: told
	 * that the login had failed it would leave a session behind that nobody knows to end.
	 */
	int (*client_packet)(struct dialect_client *client, const struct dialect_context *context,
	    const char *bytes, size_t length, struct buffer *down) __attribute__((warn_unused_result));
};

extern const struct dialect dialect_sfrom;

/*
 * What went wrong, of an answer that refuses: the condition of RFC 6120 8.3.3 that it holds or that its code of before
 * stands for (XEP-0086). One of our own names, whatever the answer holds; "undefined-condition" when it says neither.
 */
const char *dialect_error_name(const void *bytes, size_t length);

/* The dialect of that name, or NULL. */
const struct dialect *dialect_find(const char *name);

#endif
