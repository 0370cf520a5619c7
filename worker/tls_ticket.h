/*
 * tls_ticket: the keys under which sessions are handed to clients for safekeeping (RFC 5077, RFC 8446 4.6.1), so that
 * one that comes back need not be given a whole handshake, on whichever worker it comes to.
 *
 * The master makes them and changes them; all workers have the same ones, and nobody writes them to a disk. The first
 * encrypts, all decrypt; a ticket that an older one decrypted is replaced. A key that has gone makes its tickets
 * worthless: their clients get a whole handshake.
 *
 * Who made the struct owns it, and keeps it longer than the last connection of a context that was made with it.
 */
#ifndef C2SD_WORKER_TLS_TICKET_H
#define C2SD_WORKER_TLS_TICKET_H

#include <stdint.h>

#include "ipc/contract.h"

struct tls_tickets;

/* Without keys: no tickets are given. NULL without memory. */
struct tls_tickets *tls_tickets_new(void);

/*
 * The keys from now on, as M2W_TICKETS brings them: `count` of TICKET_KEY_SIZE bytes, at most TICKET_KEYS_MAX, one
 * behind the other. Those before are wiped.
 */
void tls_tickets_set(struct tls_tickets *tickets, const uint8_t *keys, unsigned count);

/* Wipes them. May be called twice. */
void tls_tickets_free(struct tls_tickets **tickets);

#endif
