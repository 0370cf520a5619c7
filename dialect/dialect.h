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
#include "common/condition.h"
#include "dialect/element.h"

/* ---- link half ---- */

enum packet_kind {
	PACKET_DATA,		/* for the client */
	/* Any of these three is well-formed (dialect/wellformed); of the others that is not known. */
	PACKET_LOGIN,		/* looks like a positive answer to a login (in session any iq result may): `address` */
	PACKET_SESSION,		/* certainly one, which may also come again in session: the new `address` */
	PACKET_DISCONNECT,	/* says that the client's session is over; whether it is: dialect_ends_session */
	PACKET_ASK,		/* wants to know when everything before it is settled: answered by link_answer, and never for the client */
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
	bool certain;		/* PACKET_DISCONNECT: whatever it says of its sender (<close/>) */
	/* PACKET_SESSION: it counts only where VERDICT_STARTS went up, and once; else it is bounced, but for the client's own. */
	bool asked;
	bool expendable;	/* the stream's own business: where it reaches nobody, nothing is lost */
	bool disconnect;	/* it holds a 510 or is an error of the link's, whatever its kind: never to be bounced again */
	/* From here on the session manager keeps what it sends until the client itself has acknowledged it (XEP-0198). */
	bool manages;
};

/*
 * Does this PACKET_DISCONNECT end the session with that address (before login: that host)? Yes where it is `certain`; else only
 * when it comes from that very address, and nobody or the session itself (with or without its resource) is said to have
 * written it: a 510 is what its sender may say. `address` is plain text, the ranges of `packet` are as on the wire.
 */
bool dialect_ends_session(const struct packet *packet, const char *address);

/* What a worker sent up for a client. */
enum dialect_verdict {
	VERDICT_FORGED,		/* it is not what such a client could cause: the worker is not believed any more */
	VERDICT_PACKET,
	VERDICT_STARTS,		/* asks for a session of an account, which must be the one that it has proved to be */
	VERDICT_NOTICE,		/* says that it has logged in (notice.h), to whom it may concern */
	VERDICT_OPENS,		/* from here on the session manager holds a stream of this client, whose end it must hear of */
};

/* What a packet says of the session that was asked with link_probe. */
enum probe_answer {
	PROBE_NONE,		/* it is no answer to that */
	PROBE_KNOWN,		/* the session is there */
	PROBE_GONE,		/* it is not */
	PROBE_AGAIN,		/* it is not, and the client's worker half is to start it again: it gets what was put out */
};

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
 * malloc, without entities; `host` is set by the owner, the others by the dialect. Once the client is bound nothing but
 * address and memo is needed: an owner of many clients may keep those alone, and show them in a struct made for the call.
 * There they are lent (host is NULL): a call changes or frees nothing in it, but for what it sets together with
 * DIALECT_KEEP.
 */
struct dialect_client {
	char *host;		/* before login: the host that its header means */
	char *asked_id;		/* before login: id of the client's iq that was sent up and is not answered; NULL: none */
	char *asked_user;	/* before login: the username of the last login that was sent up; NULL: none was */
	char *address;		/* of the session; NULL: the session manager has none for it */
	char *memo;		/* what this dialect must remember of a session beside its address; NULL: nothing */
	char *jid;		/* before it is bound: the JID that the session manager's answer gave, where it is needed */
	char *resource;		/* before it is bound: what was invented, or asked for */
	char *secret;		/* between two steps of a login: a password; wiped when it is let go (dialect_client_wipe) */
	struct buffer held;	/* elements of the client's that go up once there is a session again */
	uint8_t stage;		/* the dialect's own: how far its login has come; 0: nowhere */
	uint8_t registrations;	/* attempts to register that were sent up */
	bool asked_login;	/* asked_id is that of a login, not of a registration */
	bool asked;		/* the session manager was asked what decides on the login, or holds a stream: lost with the link */
	bool waits;		/* the client is not to be read before a packet has changed this */
};

/* Frees what it keeps; may be called twice. */
void dialect_client_deinit(struct dialect_client *client);

/* Wipes and frees client->secret. */
void dialect_client_wipe(struct dialect_client *client);

/* What is known of a connection: <connection xmlns='urn:x-c2sd:connection:0'/> (doc/link.md). Absent strings are NULL. */
struct dialect_connection {
	const char *ip;			/* "192.0.2.7" */
	uint16_t port;
	const char *transport;		/* "tcp" */
	const char *tls;		/* "TLSv1.3" */
	const char *cipher;
	const char *sni;
	/* In base64. */
	const char *exporter;		/* tls-exporter (RFC 9266) */
	const char *end_point;		/* tls-server-end-point (RFC 5929) */
	const char *certificate;	/* the client's own, in DER */
};

/* A client's header, as far as its host has to be told. Absent strings are NULL. */
struct dialect_header {
	const char *from;
	const char *lang;
	uint16_t version_major;		/* 0.0: a client of before RFC 3920 */
	uint16_t version_minor;
	const struct dialect_connection *connection;	/* NULL: the stream is begun anew on the same connection */
};

/* What the worker knows and the dialect needs to know; lives as long as the call. */
struct dialect_context {
	const char *id;			/* the client's id */
	const char *name;		/* the socket manager's name: the client's address on the link is ID@NAME */
	const char *stream_id;		/* that the client was told in our header */
	bool digest;			/* the session manager knows passwords, so that digests work */
	bool registration;		/* jabber:iq:register is offered */
	bool plain;			/* SASL PLAIN is offered on this connection */
	bool modern;			/* the client is one since RFC 3920: its header had a version */
};

/*
 * What a call asks of its owner: header, features and `down`, in this order; to send `up`, when the master knows the
 * address; and then what else `effects` says, in the order of their bits. All buffers are the owner's; the dialect appends.
 */
struct dialect_answer {
	struct buffer *up;		/* one complete element for the link; several with DIALECT_SEVERAL */
	struct buffer *down;		/* for the client */
	unsigned effects;
	/* DIALECT_HEADER; absent: as the worker thinks best. As on the wire. */
	struct range header_id, header_from, header_lang;
	struct buffer *features;	/* DIALECT_FEATURES: the contents of <stream:features/> */
	const char *failure;		/* DIALECT_REFUSED: the condition's name; static (dialect_error_name) */
	/* DIALECT_END */
	enum stream_condition condition;	/* CONDITION_NONE: without a stream error */
	const char *text;		/* static, or NULL */
	bool told;			/* `down` ends with the session manager's own <stream:error/> of that condition */
};

enum dialect_effect {
	DIALECT_SEVERAL = 1 << 0,	/* `up` holds several elements */
	DIALECT_HEADER = 1 << 1,	/* the client gets the header of our stream */
	DIALECT_FEATURES = 1 << 2,	/* ... and features, in front of which c2sd puts its own */
	DIALECT_REFUSED = 1 << 3,	/* an attempt to log in has failed */
	DIALECT_LOGGED_IN = 1 << 4,	/* the session manager has a session of it, client->address */
	DIALECT_BOUND = 1 << 5,		/* it knows that it is logged in: stanzas may come and go; what was held is given again */
	DIALECT_RESTART = 1 << 6,	/* behind `down` its stream begins anew: a header comes next (RFC 6120 6.4.6) */
	DIALECT_DELIVERED = 1 << 7,	/* of a packet: it is in `down`, and settled when that is written. Else it is consumed */
	DIALECT_HELD = 1 << 8,		/* of a packet: not before the client is bound; nor is any behind it delivered */
	DIALECT_MEMO = 1 << 9,		/* client->memo is another string; the one before is its owner's to free */
	DIALECT_KEEP = 1 << 10,		/* in session: the struct is needed until the client is bound again */
	DIALECT_UNREADABLE = 1 << 11,	/* of a packet: not well-formed, or not what this dialect can deliver */
	DIALECT_END = 1 << 12,		/* the client ends */
};

struct dialect {
	const char *name;	/* as in the configuration: "sfrom" */
	bool tells_connection;	/* client_header wants to know the connection: what is known of it is worth finding out */

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
	 * `name`, to its session's `address` (NULL, before login: to a host)? `to_r`: with VERDICT_OPENS, that host, with
	 * VERDICT_STARTS the account, USER@HOST, with VERDICT_NOTICE whom it is for, as on the wire.
	 */
	enum dialect_verdict (*link_verify)(const void *bytes, size_t length, const char *id, const char *name,
	    const char *address, struct range *to_r);
	/*
	 * The error that carries the packet back to where it came from (sfrom, xmpp: a 510); nothing when it does not say
	 * where that is, or is not well-formed.
	 */
	void (*link_bounce)(struct buffer *out, const void *bytes, size_t length);
	/* The answer to a PACKET_ASK; nothing when it does not say where that goes. NULL: this dialect has none. */
	void (*link_answer)(struct buffer *out, const void *bytes, size_t length);
	/*
	 * Without a packet: the session of client `id`, or (VERDICT_OPENS) the stream with that host, is gone. `goodbye`: the
	 * client has closed its stream in good order.
	 */
	void (*link_end)(struct buffer *out, const char *id, const char *name, const char *address, bool goodbye);

	/*
	 * Ask the session of client `id` for something that every session answers and that changes nothing: an iq with the id
	 * `probe`, which needs no escaping. NULL: it need not be asked, because no session outlives its link. `silence_ends`:
	 * the session manager says nothing about sessions that it does not know.
	 */
	void (*link_probe)(struct buffer *out, const char *id, const char *name, const char *address, const char *probe);
	bool silence_ends;
	/* Is it the answer to that? With PROBE_AGAIN `out` is what the client is to get instead of it: the same without the iq. */
	enum probe_answer (*link_probe_answer)(struct buffer *out, const void *bytes, size_t length, const char *probe);

	/* These three return 0; -ENOMEM; or another negative errno that the client cannot live with. */

	/* The client's header is right: its first, or that of a stream begun anew. */
	int (*client_header)(struct dialect_client *client, const struct dialect_context *context,
	    const struct dialect_header *header, struct dialect_answer *answer) __attribute__((warn_unused_result));
	/*
	 * A canonical element came from the client; `name_end` as in struct stream_event. -EINVAL when the bytes are not
	 * one complete element. Before login one iq at a time goes up: another one is answered with an error until that
	 * one is answered.
	 */
	int (*client_element)(struct dialect_client *client, const struct dialect_context *context,
	    const char *bytes, size_t length, size_t name_end, struct dialect_answer *answer)
	    __attribute__((warn_unused_result));
	/*
	 * A packet for this client came from the link. -EMSGSIZE: it is logged in with an address above
	 * DIALECT_ADDRESS_MAX. Such a client has to be ended, and its session with it: told that the login had failed it
	 * would leave a session behind that nobody knows to end.
	 */
	int (*client_packet)(struct dialect_client *client, const struct dialect_context *context,
	    const char *bytes, size_t length, struct dialect_answer *answer) __attribute__((warn_unused_result));
};

extern const struct dialect dialect_sfrom, dialect_route, dialect_xmpp;

/*
 * What went wrong, of an answer that refuses: the condition of RFC 6120 8.3.3 that it holds or that its code of before
 * stands for (XEP-0086). One of our own names, whatever the answer holds; "undefined-condition" when it says neither.
 */
const char *dialect_error_name(const void *bytes, size_t length);

/* The dialect of that name, or NULL. */
const struct dialect *dialect_find(const char *name);

#endif
