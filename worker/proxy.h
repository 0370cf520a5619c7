/*
 * proxy: the header with which a proxy in front of us says where a client really comes from: the PROXY protocol, versions 1
 * and 2 (haproxy's proxy-protocol.txt). It stands before everything else on a listener that asks for it.
 *
 * Pure: bytes in, outcome out. What is asked for is always told from the connection's first byte on; nothing behind the
 * header is looked at, so that what follows in the same segment (a stream's header, a ClientHello) stays whole.
 *
 * As strict as the document, with these decisions where it leaves one:
 * - A header may come in pieces, as everything does on TCP.
 * - An IPv6 address of version 1 may end in an IPv4 address, as inet_ntop(3) writes mapped ones and so real proxies do.
 * - Families and transports of version 2 that mean no TCP address (unspecified, UNIX, datagrams) leave the connection's
 *   own address in force, as the document has it; their block is skipped.
 * - Of the TLVs only the checksum is looked at; all must add up. What a proxy says of its own TLS is not ours to claim.
 * - Nobody needs more than PROXY_HEADER_MAX bytes (nginx takes as many), the protocol's 65551 least of all.
 */
#ifndef C2SD_WORKER_PROXY_H
#define C2SD_WORKER_PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/message.h"

/* Version 1, its line end included; version 2, its 16 fixed bytes included. */
#define PROXY_LINE_MAX 107
#define PROXY_HEADER_MAX 4096

enum proxy_outcome {
	PROXY_MORE,	/* all of the bytes belong to the header, and it goes on */
	PROXY_PEER,	/* complete: where the client comes from */
	PROXY_UNKNOWN,	/* complete: it does not say; the connection's own address stays */
	PROXY_LOCAL,	/* complete: the proxy itself is the client, to see whether we are well; likewise */
	PROXY_FAILED,	/* no such header */
};

/* Why it is none. */
enum proxy_fault {
	PROXY_NO_FAULT,
	PROXY_NO_HEADER,	/* it begins as neither version does: a client that came without the proxy */
	PROXY_BAD_LINE,		/* version 1, but not its grammar */
	PROXY_BAD_VERSION,	/* version 2's signature, another version */
	PROXY_BAD_COMMAND,
	PROXY_BAD_FAMILY,	/* no such family or transport */
	PROXY_TOO_LONG,
	PROXY_TOO_SHORT,	/* no room for the addresses of its family */
	PROXY_BAD_TLV,		/* what follows the addresses does not add up */
	PROXY_BAD_CHECKSUM,
	PROXY_FAULT_COUNT,
};

struct proxy_header {
	size_t length;		/* of the header; what is behind it is the client's */
	struct peer peer;	/* PROXY_PEER */
	enum proxy_fault fault;	/* PROXY_FAILED */
};

/*
 * Look at the first `length` bytes of a connection. More bytes may only turn PROXY_MORE into something else; PROXY_FAILED
 * comes as early as can be told.
 */
enum proxy_outcome proxy_parse(const uint8_t *bytes, size_t length, struct proxy_header *header_r);

/* "bad-line", for the log. */
const char *proxy_fault_name(enum proxy_fault fault);

#endif
