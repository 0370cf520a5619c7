/*
 * message: the bodies of frames, field by field.
 *
 * Encoders append to a buffer (which remembers a failed allocation); decoders give false for a body that does not hold
 * exactly its fields. Integers are little-endian, a string is its length (16 bits) and its bytes. Decoded text lies in
 * the body unless it says otherwise.
 */
#ifndef C2SD_IPC_MESSAGE_H
#define C2SD_IPC_MESSAGE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/condition.h"
#include "ipc/contract.h"
#include "ipc/reason.h"

/* M2W_HELLO, W2M_HELLO */
void message_put_hello(struct buffer *body, uint32_t version);
bool message_get_hello(const struct frame *frame, uint32_t *version_r);

/* What bounds a client; all configurable (doc/c2sd.xml.5). Times in milliseconds. */
struct client_limits {
	uint32_t header_bytes;
	uint32_t login_bytes;		/* longest element before login */
	uint32_t login_elements;	/* most elements in one of those */
	uint32_t login_total_bytes;	/* most in all before login */
	uint32_t login_attempts;	/* refused logins after which a client ends; 0: it may go on */
	uint32_t element_bytes;		/* longest element after login */
	uint32_t elements;
	uint32_t depth;
	uint32_t attributes;
	uint32_t login_time;		/* from the connection, or the end of a handshake, to the login */
	uint32_t login_pause;		/* most that the next attempt waits when logins have failed; 0: none does */
	uint32_t handshake_time;	/* until TLS is there, or the first byte where that decides */
	uint32_t idle_time;		/* silence after which a client ends; 0: never */
	uint32_t keepalive_time;	/* silence after which white space is sent; 0: never */
	uint32_t stall_time;		/* above unsent_soft_bytes and with no progress */
	uint32_t unsent_soft_bytes;	/* bytes that may wait for a client that takes nothing; never more than unsent_bytes */
	uint32_t unsent_bytes;		/* most bytes waiting for a client */
	uint32_t settle_time;		/* from an acknowledgement of the client's TCP until it is believed */
	uint32_t send_buffer_bytes;	/* of its socket; 0: the kernel's own choice */
	uint32_t dead_time;		/* without an acknowledgement of what was sent; 0: as TCP thinks best */
	uint32_t clients;		/* of one worker; 0: as many as it has descriptors */
	uint32_t rate_bytes;		/* a second, for long; 0: as many as it likes */
	uint32_t burst_bytes;		/* at once */
};

/* How workers speak TLS; all of it may be 0 without a certificate. Lists are in OpenSSL's form; none, or an empty one: as worker/tls thinks best. */
struct tls_settings {
	bool required;			/* before login, where STARTTLS is offered */
	bool ask_client_certificates;
	uint8_t min_version;		/* 12: TLS 1.2; 13: TLS 1.3 */
	char *ciphers;			/* of TLS 1.2 */
	char *ciphersuites;		/* of TLS 1.3 */
	char *groups;
	uint32_t ticket_lifetime;	/* seconds */
	uint32_t certificate_count;	/* those came before, and take effect now; 0: there is no TLS */
};

#define SETTINGS_HOSTS_MAX 64
#define SETTINGS_CERTIFICATES_MAX 64

/* M2W_SETTINGS. The strings of a decoded one are its own: settings_deinit. */
struct settings {
	uint32_t worker;		/* the worker's number */
	char *nonce;			/* of this start of the master: part of every id */
	char *name;			/* the socket manager's name on the link */
	char *dialect;
	char *notify;			/* whom logins are told to (notice.h); empty: nobody */
	bool digest;
	bool registration;
	bool plain;			/* SASL PLAIN is offered where there is no TLS, too */
	uint8_t log_level;
	struct client_limits limits;
	struct tls_settings tls;
	uint32_t host_count;
	char *hosts[SETTINGS_HOSTS_MAX];
};

void message_put_settings(struct buffer *body, const struct settings *settings);
/* False also without memory: the caller ends either way. */
bool message_get_settings(const struct frame *frame, struct settings *settings_r);
void settings_deinit(struct settings *settings);

/*
 * M2W_CERTIFICATE, in DER: the chain, leaf first, one behind the other; its key (PKCS #8, RFC 5208). M2W_TICKETS: `count`
 * keys of TICKET_KEY_SIZE; the first encrypts, all decrypt. Encoders make the body secret (buffer.h); what was decoded
 * lies in the frame's body, and is wiped with that.
 */
void message_put_certificate(struct buffer *body, const uint8_t *chain, size_t chain_length, const uint8_t *key,
    size_t key_length);
bool message_get_certificate(const struct frame *frame, const uint8_t **chain_r, size_t *chain_length_r,
    const uint8_t **key_r, size_t *key_length_r);
void message_put_tickets(struct buffer *body, const uint8_t *keys, unsigned count);
bool message_get_tickets(const struct frame *frame, const uint8_t **keys_r, unsigned *count_r);

/* Where a client comes from; IPv4 is written as a mapped address (RFC 4291 2.5.5.2). */
struct peer {
	struct in6_addr address;
	uint16_t port;
};

/* How clients of a listener come to TLS; in the order of the option's words. */
enum listen_tls {
	LISTEN_TLS_NONE,	/* not at all */
	LISTEN_TLS_STARTTLS,	/* in their stream (RFC 6120 5) */
	LISTEN_TLS_DIRECT,	/* from the first byte on (XEP-0368) */
	LISTEN_TLS_BOTH,	/* as the first byte says */
	LISTEN_TLS_COUNT,
};

/* M2W_CLIENT */
struct newcomer {
	struct peer peer;
	uint8_t tls;		/* enum listen_tls */
	bool proxied;		/* the header of a proxy comes first, and says who the peer is */
	uint8_t failures;	/* recent logins from its address that were refused; no more are counted than fit */
};

void message_put_client(struct buffer *body, const struct newcomer *newcomer);
bool message_get_client(const struct frame *frame, struct newcomer *newcomer_r);

/* W2M_ADDRESS: the same, as the header of a proxy has it. */
void message_put_address(struct buffer *body, const struct peer *peer);
bool message_get_address(const struct frame *frame, struct peer *peer_r);

/* M2W_ADMITTED: as `failures` of M2W_CLIENT, of the address that was told. */
void message_put_failures(struct buffer *body, uint8_t failures);
bool message_get_failures(const struct frame *frame, uint8_t *failures_r);

/* The peer of a TCP connection's other end. */
void peer_from_sockaddr(struct peer *peer_r, const struct sockaddr_storage *address);
/* "192.0.2.7" or "2001:db8::1" with "port" left out; `text` has room for INET6_ADDRSTRLEN. */
const char *peer_format(const struct peer *peer, char *text);

/* M2W_PACKET: message_put_number, then the packet's bytes. Numbers count from 1 for each client. */
bool message_get_packet(const struct frame *frame, uint64_t *number_r, const uint8_t **bytes_r, size_t *length_r);

/* M2W_CLOSE, M2W_CLOSE_ALL */
void message_put_reason(struct buffer *body, enum end_reason reason);
bool message_get_reason(const struct frame *frame, enum end_reason *reason_r);

/* W2M_ENDED: how a client has ended. */
struct client_end {
	enum end_reason reason;
	enum stream_condition condition;	/* of the stream error that it was told; CONDITION_NONE: of none */
	enum end_limit limit;			/* the one that it was above; LIMIT_NONE: it was above none */
};

void message_put_end(struct buffer *body, const struct client_end *end);
bool message_get_end(const struct frame *frame, struct client_end *end_r);

/* W2M_SETTLED, W2M_CONSUMED: of a packet; M2W_RENEWED: the client's serial from now on. */
void message_put_number(struct buffer *body, uint64_t number);
bool message_get_number(const struct frame *frame, uint64_t *number_r);

/* W2M_PONG: since the worker was started. */
struct worker_counters {
	uint64_t bytes_in;	/* from clients */
	uint64_t bytes_out;
	uint64_t packets_in;	/* elements from clients, sent on or answered */
	uint64_t packets_out;	/* packets written to clients */
	uint64_t throttles;	/* how often a client was not read because it had sent too much (worker/karma) */
	uint64_t handshakes;	/* of TLS that came to a good end */
	uint64_t resumed;	/* of those, with a ticket */
	uint64_t handshakes_failed;
	uint32_t parsers;	/* now: an idle client has none */
	uint32_t buffers;	/* now, of what clients have still to read: likewise */
	uint32_t throttled;	/* clients, now */
};

void message_put_counters(struct buffer *body, const struct worker_counters *counters);
bool message_get_counters(const struct frame *frame, struct worker_counters *counters_r);

/* W2M_LOG: level, then the line. The decoded line is copied to `line` (terminated, cut to `size`). */
void message_put_log(struct buffer *body, uint8_t level, const char *line);
bool message_get_log(const struct frame *frame, uint8_t *level_r, char *line, size_t size);

/* What a client's worker knows of it. */
enum report_state {
	REPORT_OPENING,		/* its header has not come */
	REPORT_LOGIN,		/* it may log in and register */
	REPORT_SESSION,		/* logged in */
	REPORT_CLOSING,		/* the end was said to it */
	REPORT_HANDSHAKE,	/* it comes to TLS */
	REPORT_STATE_COUNT,
};

struct client_report {
	uint32_t slot;
	uint64_t serial;
	enum report_state state;
	bool paused;			/* it is not read now, whatever for */
	bool throttled;			/* ... because it has sent too much (worker/karma) */
	uint32_t unsent;		/* bytes that its socket has not taken */
	uint64_t idle;			/* milliseconds since it last sent something */
	uint64_t bytes_in, bytes_out;
	uint64_t packets_in, packets_out;
	uint8_t tls;			/* 12: TLS 1.2; 13: TLS 1.3; 0: none, or not yet */
};

/* Clients in one survey. */
#define SURVEY_MAX 128

/* What is left of a survey's body. */
struct survey {
	uint32_t number;
	const uint8_t *at;
	size_t left;
};

/*
 * M2W_SURVEY: the question's number, then a name (slot and serial) for each client that it is about; W2M_SURVEY: the same
 * number, then a report for each of them that the worker has. At most SURVEY_MAX.
 */
void message_put_survey(struct buffer *body, uint32_t number);
void message_put_survey_client(struct buffer *body, uint32_t slot, uint64_t serial);
void message_put_survey_report(struct buffer *body, const struct client_report *report);
bool message_get_survey_clients(const struct frame *frame, struct survey *survey_r);
bool message_get_survey_reports(const struct frame *frame, struct survey *survey_r);

/* The next of them. False: there is none, or (reports) it does not add up, and `left` is not 0. */
bool survey_next_client(struct survey *survey, uint32_t *slot_r, uint64_t *serial_r);
bool survey_next_report(struct survey *survey, struct client_report *report_r);

/* "opening" */
const char *report_state_name(enum report_state state);

/* "TLSv1.3" of 13, "TLSv1.2" of 12, "none". */
const char *tls_version_name(unsigned version);

/* M2W_TRACE */
void message_put_switch(struct buffer *body, bool on);
bool message_get_switch(const struct frame *frame, bool *on_r);

/* Longest text of a W2M_TRACE. */
#define TRACE_TEXT_MAX 4096

/* W2M_TRACE: what a client has sent or got, its secrets masked, cut to TRACE_TEXT_MAX. */
struct trace_message {
	bool down;		/* to the client */
	bool cut;
	uint32_t lost;		/* that many of this worker's before it could not be told */
	uint32_t length;	/* of the whole, as it was */
	const char *text;	/* not terminated; any bytes */
	size_t text_length;
};

/* The text follows (channel_send_parts). */
void message_put_trace(struct buffer *body, const struct trace_message *trace);
bool message_get_trace(const struct frame *frame, struct trace_message *trace_r);

#endif
