/*
 * client: one connection, from the descriptor that the master hands over to its one way out, client_end().
 *
 *	PREFACE --first byte: no TLS--------+
 *	   |  ^                             v
 *	   |  |     HANDSHAKE --secured--> OPENING --header--> LOGIN --positive answer--> SESSION
 *	   |  |         ^                                        |
 *	   +--|-- TLS --+                                  <starttls/>
 *	      +---------------<proceed/> was written--- UPGRADING
 *
 *	LOGIN --its stream begins anew (RFC 6120 6.4.6)--> OPENING, with what it has logged in with
 *
 *	any of them --an end, with a reason--> CLOSING --flushed, drained--> GONE (W2M_ENDED)
 *
 * Where TLS comes first, or may, or the header of a proxy (origin.h), a client begins in PREFACE, else in OPENING.
 * <starttls/> leads there once more, and of all that the client was before nothing is left then but its struct, with who
 * it is and what it has cost: parser, scope, login and the stream's id are made anew; and its own id, where the session
 * manager has heard of it: what it holds under that is ended by the master, what comes under it goes back (W2M_RENEW), and
 * the client begins anew when that is done. So before its header nobody has an id to send it anything under.
 *
 * A client's whole state is in this struct and small. While it is idle it owns its struct and its session's address, both
 * packed with those of others (common/slab), and shares what its header said (worker/scope); nothing else: what only a
 * login needs is given back with it, the parser (intake) a second after the last bytes, the output as soon as it is
 * empty. Tests hold us to that, and bench/idle says what it comes to.
 *
 * The worker's table owns the struct; the struct owns its descriptor. It is freed at the end of the turn in which it
 * ended (loop.h).
 */
#ifndef C2SD_WORKER_CLIENT_H
#define C2SD_WORKER_CLIENT_H

#include "common/loop.h"
#include "dialect/dialect.h"
#include "ipc/message.h"
#include "worker/intake.h"
#include "worker/karma.h"
#include "worker/output.h"
#include "worker/scope.h"
#include "worker/stream.h"
#include "worker/tls.h"
#include "worker/unread.h"

struct worker;

enum client_state {
	CLIENT_PREFACE,		/* connected; a proxy has its say, then the first byte says whether TLS comes */
	CLIENT_HANDSHAKE,	/* TLS has begun */
	CLIENT_OPENING,		/* its header has not come */
	CLIENT_LOGIN,		/* the header was answered; it may log in and register */
	CLIENT_UPGRADING,	/* <proceed/> is on its way, and the client is not read until that is written */
	CLIENT_SESSION,		/* logged in */
	CLIENT_CLOSING,		/* the end was said: what is unsent goes out, then the socket is shut and drained */
	CLIENT_GONE,		/* only for the rest of this turn */
};

enum client_event {
	CLIENT_STREAM_COMES,	/* its first byte is one of a stream */
	CLIENT_TLS_COMES,	/* its first byte is one of a handshake */
	CLIENT_SECURED,		/* the handshake is done */
	CLIENT_STARTTLS,	/* it was told to proceed */
	CLIENT_RENEWED,		/* it has another id, under which nothing of it is known upstream */
	CLIENT_HEADER,		/* its header is complete */
	CLIENT_ELEMENT,		/* it sent a complete element */
	CLIENT_PACKET,		/* a packet for it came from the link */
	CLIENT_LOGGED_IN,	/* it knows that it has a session: client->address */
	CLIENT_RESTART,		/* its stream begins anew behind what it was told */
	CLIENT_HUNG_UP,		/* it closed its half of the connection */
	CLIENT_FLUSHED,		/* everything for it was written */
	CLIENT_SETTLED,		/* and has arrived */
	CLIENT_TIMEOUT,		/* the deadline of its state has passed */
};

/* What comes with an event. */
struct client_message {
	const struct stream_header *header;	/* CLIENT_HEADER */
	const struct stream_event *element;	/* CLIENT_ELEMENT */
	const uint8_t *bytes;			/* CLIENT_PACKET */
	size_t length;
	uint64_t number;
	bool replaced;				/* its address has been given to a later login */
};

/* Its size counts for every client: what is not needed by one that is idle belongs somewhere else. */
struct client {
	struct watch watch;
	struct worker *worker;
	struct deadline deadline;	/* handshake, login, silence or drain, by state */
	struct deadline unread_until;	/* on a list of the worker's while it is not read */
	struct job flush;		/* write what was queued in this turn; frees the struct when it is gone */
	struct intake *intake;
	struct output *output;
	struct tls *tls;		/* NULL: none, or not yet */
	struct scope *scope;		/* of its header, which was complete and right; NULL: not yet */
	struct dialect_client *login;	/* until it is logged in and knows so, from its header on */
	char *address;			/* of its session, in the worker's texts; NULL: it has none */
	char *memo;			/* what the dialect remembers of the session beside it, likewise; NULL: nothing */
	uint64_t serial;
	uint64_t bytes_in, bytes_out;
	uint64_t since;			/* loop_now() when it came */
	uint64_t last_read;
	struct karma karma;		/* of what it has sent */
	uint32_t packets_in, packets_out;
	uint32_t slot;
	struct peer peer;
	uint8_t state;			/* enum client_state */
	uint8_t reason;			/* enum end_reason, from CLIENT_CLOSING on, as the next two */
	uint8_t condition;		/* enum stream_condition: what it was told */
	uint8_t limit;			/* enum end_limit: what it was above */
	uint8_t refusals;		/* of its logins, by the session manager; no more are counted than fit */
	uint8_t unread;			/* enum unread: why it is not read */
	uint8_t listen_tls;		/* enum listen_tls */
	uint8_t failures;		/* as M2W_CLIENT said */
	bool proxied : 1;		/* likewise; the header has not come yet (origin.h) */
	bool half_header : 1;		/* of it not all has come */
	bool is_check : 1;		/* as far as is known, of the proxy itself */
	bool mute : 1;			/* what we would say is no use: TLS is not there yet, or has failed */
	bool wants_write : 1;		/* TLS cannot go on before the socket takes bytes */
	bool header_sent : 1;		/* ours */
	bool told : 1;			/* the session manager has said why it ends */
	bool was_throttled : 1;		/* that was said in the log */
	bool hung_up : 1;		/* it has closed its half of the connection */
	bool shut : 1;			/* we have closed ours */
	bool spoke : 1;			/* something of it went up: its id is known there */
	bool renews : 1;		/* the master was asked for another id */
	bool traced : 1;		/* the master is shown what it sends and gets (trace.h) */
};

/* One read of a client per turn: bounds what a turn costs, and what a parser is fed at once. */
#define CLIENT_READ_SIZE 16384

/* What struct client may grow to before somebody asks whether it has to: a test holds us to it. */
#define CLIENT_SIZE_MAX 256

/* Longest id (doc/design.md, "The path of a packet"), with its terminating zero. */
#define CLIENT_ID_SIZE 65

/* Take over `fd`. NULL without memory or descriptors; `fd` is then still the caller's. */
struct client *client_new(struct worker *worker, uint32_t slot, uint64_t serial, int fd,
    const struct newcomer *newcomer);

/* The state machine: what each event means in each state. */
void client_fsm(struct client *client, enum client_event event, const struct client_message *message);

/*
 * End the client for this reason: with a stream error where the reason has one (and `condition` is not NONE), with
 * </stream:stream> where it can still be told. The first reason stays. `text` may be NULL.
 */
void client_end(struct client *client, enum end_reason reason, enum stream_condition condition, const char *text);

/* The same for a limit of the configuration, which says the reason and what the client is told. */
void client_exceed(struct client *client, enum end_limit limit, const char *text);

/* Its connection is lost: nothing can be told any more. */
void client_lose(struct client *client, enum end_reason reason);

/* The id as on the link; `id` has room for CLIENT_ID_SIZE. */
const char *client_id(const struct client *client, char *id);

/* The master has given it another serial number. False: nobody has asked. */
bool client_renewed(struct client *client, uint64_t serial);

/* There was no memory for it. */
void client_broken(struct client *client);

/* True unless its header has shown that it is of before RFC 3920: by having no version. */
bool client_is_modern(const struct client *client);

/* Its stream, of which it has one now, is read by a parser. */
bool client_has_stream(const struct client *client);

/* Wait for what it can do something with. */
void client_wants(struct client *client);

/* Write what is queued for it: at the end of this turn; or now, after which it may be gone. */
void client_flush_later(struct client *client);
void client_flush(struct client *client);

/* Why it was not read is over: go on with what waits in its parser, and read again. */
void client_resume(struct client *client);

/* The settings have changed: it may have to be ended, or to be watched for silence. `before`: what it could send then. */
void client_settings_changed(struct client *client, const struct karma_limit *before);

/* True when it owns nothing but its struct and a few strings. */
bool client_is_idle(const struct client *client);

/* Bytes of memory that come and go with what is on its way: parser, output, and what waits for a session. */
size_t client_memory(const struct client *client);

/* What its worker knows of it, for the operator. */
void client_report(const struct client *client, struct client_report *report_r);

/* Free everything at once, without a word to anybody: the end of the process, or of the turn. */
void client_free(struct client *client);

const char *client_state_name(enum client_state state);

/* The callback of the worker's deadline lists. */
void client_on_deadline(struct deadline *deadline);

#endif
