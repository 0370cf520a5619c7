/*
 * tls_context: what all TLS connections have in common: certificates with their keys, versions, ciphers. Made anew for
 * each settings frame; connections made with an older one go on with that, which stays for them alone (it counts who
 * uses it).
 *
 * Which certificate a client gets is decided by its ClientHello (server_name, RFC 6066 3), where that is silent by the
 * host of its stream's header, and else it is the first. Certificates name what they are for: dNSName, xmppAddr and
 * SRVName of xmpp-client among the alternative names (RFC 6120 13.7.1.2), the common name where there are none; `*.`
 * stands for one label (RFC 6125 6.4.3). Certificates with different kinds of keys (RSA, ECDSA) for a name serve it
 * side by side, and each client gets one that it can verify.
 */
#ifndef C2SD_WORKER_TLS_CONTEXT_H
#define C2SD_WORKER_TLS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/message.h"
#include "worker/tls_ticket.h"

struct tls_context;

/*
 * Without certificates. Strings of `settings` that are NULL or empty mean our own choice; nothing of it is used later,
 * `tickets` is. NULL: errno is EINVAL (OpenSSL knows no such ciphers, suites or groups) or ENOMEM.
 */
struct tls_context *tls_context_new(const struct tls_settings *settings, const struct tls_tickets *tickets);

/*
 * Add a certificate: its chain in DER, itself first, and its key (PKCS#8, DER), which is copied; the caller wipes his.
 * 0; -EINVAL: they are none, do not belong together, or are too weak (tls_context_error says which); -ENOMEM: the
 * context is to be made anew, when there is memory again.
 */
int tls_context_add(struct tls_context *context, const uint8_t *chain, size_t chain_length, const uint8_t *key,
    size_t key_length) __attribute__((warn_unused_result));

/* A few words for the log on the last certificate that was refused; NULL: none was. */
const char *tls_context_error(const struct tls_context *context);

/* It has a certificate. NULL has none. */
bool tls_context_usable(const struct tls_context *context);

/* What is in use stays as long as it is. May be called twice. */
void tls_context_free(struct tls_context **context);

#endif
