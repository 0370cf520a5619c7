/*
 * keys: certificates with their keys, and the keys of session tickets, as the master sends them; and the context of TLS
 * that new connections are made with.
 *
 * Certificates come one by one and wait, in memory that is wiped, for the settings that put them in force. What OpenSSL
 * refuses although the master did not is said in the log, and left out; when nothing is left, those of before stay: that is
 * better than a worker which ends, and comes back, and ends.
 */
#ifndef C2SD_WORKER_KEYS_H
#define C2SD_WORKER_KEYS_H

#include "common/buffer.h"
#include "ipc/message.h"
#include "worker/tls.h"

struct keys {
	struct tls_context *context;	/* for who connects now; NULL: there is no certificate, and no TLS */
	struct tls_tickets *tickets;
	struct buffer arrived;		/* bodies of M2W_CERTIFICATE, each behind its length; secret */
	uint32_t arrived_count;
};

/* Behind tls_init. 0 or -ENOMEM. */
int keys_init(struct keys *keys) __attribute__((warn_unused_result));

/* M2W_CERTIFICATE, M2W_TICKETS */
enum contract_breach keys_certificate(struct keys *keys, const struct frame *frame);
enum contract_breach keys_tickets(struct keys *keys, const struct frame *frame);

/* M2W_SETTINGS: let those that have come be in force. Connections that are there go on with what they have. */
enum contract_breach keys_settings(struct keys *keys, const struct tls_settings *settings);

/* When no connection is left. May be called twice. */
void keys_deinit(struct keys *keys);

#endif
