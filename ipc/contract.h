/*
 * contract: which frames there are between master and worker, who may send which in which phase, and how long it may be.
 *
 * This table is the whole of what one process believes of the other. What does not fit it is a breach: the worker is
 * ended and replaced; the master lives (a worker that sees a breach of the master's ends itself). doc/ipc.md tells the
 * story; a test holds that document and this table against each other.
 *
 * Whoever changes a frame, a body or the meaning of either raises CONTRACT_VERSION: a worker of another version is
 * refused at its hello.
 */
#ifndef C2SD_IPC_CONTRACT_H
#define C2SD_IPC_CONTRACT_H

#include <stdbool.h>

#include "ipc/frame.h"

#define CONTRACT_VERSION 6

/* Longest address of a session: the three parts of RFC 6122 2.1, and what stands between them. */
#define CONTRACT_ADDRESS_MAX 3072

/*
 * A chain in DER: it goes out in one message of the handshake, for which OpenSSL takes up to 8/3 of its length, and a worker
 * gives it no more than TLS_MEMORY_MAX. And a private key (RSA of 16384 bits has 9.3 KB).
 */
#define CERTIFICATE_CHAIN_MAX 12000u
#define CERTIFICATE_KEY_MAX (16u * 1024)

/* RFC 5077 4: a name of 16 bytes, by which a ticket's key is found, 32 for AES-256, 32 for HMAC-SHA-256. */
#define TICKET_KEY_SIZE 80
#define TICKET_KEYS_MAX 3

enum frame_type {
	M2W_HELLO = 1,	/* version */
	M2W_SETTINGS,	/* what the worker must know; also after a reload */
	M2W_CLIENT,	/* a new client, with its descriptor */
	M2W_PACKET,	/* a packet from the link for this client, with its number */
	M2W_CLOSE,	/* end this client, with a reason */
	M2W_CLOSE_ALL,	/* end all clients, with a reason */
	M2W_STOP,	/* read no clients: the link takes nothing more */
	M2W_GO,		/* read clients again */
	M2W_LOST,	/* the link was lost: what had been asked before login, and was not answered, never will be */
	M2W_PING,	/* answer with W2M_PONG */
	M2W_SURVEY,	/* say how these clients are */
	M2W_TRACE,	/* show what this client sends and gets, or do so no more */
	M2W_CERTIFICATE,	/* a certificate and its key, for the settings that follow */
	M2W_TICKETS,	/* the keys of session tickets, instead of those before */
	M2W_ADMITTED,	/* the address that this client's proxy has told may be served: read it */
	M2W_RENEWED,	/* the answer to W2M_RENEW: this client's new serial number */

	W2M_HELLO,	/* version */
	W2M_READY,	/* the settings are in force: clients may come */
	W2M_TAKEN,	/* this client's descriptor has arrived */
	W2M_REFUSED,	/* it has not, or there is no room: give the client to another worker */
	W2M_PACKET,	/* an element from this client, ready for the link */
	W2M_SESSION,	/* this client has logged in: its address */
	W2M_SETTLED,	/* this client's packets up to a number have left us for good */
	W2M_CONSUMED,	/* the packet of that number was the stream's own business */
	W2M_ENDED,	/* this client is gone, with the reason; its slot is free */
	W2M_PONG,	/* the answer to M2W_PING, with the worker's counters */
	W2M_LOG,	/* a line for the log */
	W2M_SURVEY,	/* the answer to M2W_SURVEY */
	W2M_TRACE,	/* this client has sent, or got, this */
	W2M_ADDRESS,	/* where this client really comes from, as the header of its proxy says */
	W2M_LOGIN_FAILED,	/* a login of this client was refused; its answer is still kept */
	W2M_RENEW,	/* this client comes to TLS: what the session manager holds of it is over, give it a new id */

	FRAME_TYPE_COUNT,
};

/* M2W_PACKET: the client's address has been given to a later login; an end is a replacement (conflict). */
#define FRAME_FLAG_REPLACED 0x0001

/* W2M_PACKET: the client has not logged in, so that a password may be in it: wiped like what contract_is_secret says. */
#define FRAME_FLAG_SECRET 0x0002

enum contract_side {
	CONTRACT_MASTER,
	CONTRACT_WORKER,
};

/* How far the conversation has come, seen from the receiver. */
enum contract_phase {
	PHASE_NEW,	/* nothing was received */
	PHASE_SETUP,	/* the hello was right */
	PHASE_RUNNING,	/* settings are in force */
};

enum contract_breach {
	BREACH_NONE = 0,
	BREACH_UNKNOWN_TYPE,
	BREACH_WRONG_SIDE,
	BREACH_WRONG_PHASE,
	BREACH_LENGTH,
	BREACH_VERSION,
	BREACH_BODY,		/* the fields do not add up */
	BREACH_CLIENT,		/* about a client that the sender cannot have */
	BREACH_TOO_LONG,	/* frame_decode: longer than any frame */
	BREACH_DESCRIPTOR,	/* a descriptor where none belongs */
	BREACH_FORGED,		/* a packet that does not come from the client it is said to come from */
	BREACH_FLOW,		/* it goes on sending after STOP */
	BREACH_ADDRESS,		/* another address for a client that came without a proxy, or that has told its own already */
	BREACH_RENEWAL,		/* a new id for a client that cannot come to TLS now, or of which nothing went up */
	BREACH_COUNT,
};

/* May `sender` send this frame now? */
enum contract_breach contract_check(const struct frame *frame, enum contract_side sender, enum contract_phase phase);

/* The phase after this (checked) frame. */
enum contract_phase contract_advance(enum contract_phase phase, uint16_t type);

/* True when a descriptor travels with frames of this type. */
bool contract_carries_descriptor(uint16_t type);

/* True when no byte of such a frame may stay in memory: keys are in it, or a password. Buffers that it passes are wiped. */
bool contract_is_secret(uint16_t type, uint16_t flags);

/* "M2W_HELLO"; "?" for what is no type. */
const char *contract_name(uint16_t type);
const char *contract_breach_name(enum contract_breach breach);

#endif
