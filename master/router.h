/*
 * router: the path of a packet through the master (doc/design.md, "The path of a packet"), both ways, and what becomes
 * of packets when a client ends. Works on the master's directory, keeper, pool and link.
 */
#ifndef C2SD_MASTER_ROUTER_H
#define C2SD_MASTER_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/frame.h"
#include "ipc/contract.h"
#include "ipc/reason.h"

struct entry;
struct master;

/* A complete element has come from the session manager: it is kept and passed on, bounced, consumed or dropped. */
void router_from_link(struct master *master, const uint8_t *bytes, size_t length);

/* A packet of ours for the session manager. False: no memory, said in the log. */
bool router_send(struct master *master, const void *bytes, size_t length);

/* W2M_PACKET: what a client sent, if it is that. Queued for the link, or the client's connection is broken. */
enum contract_breach router_from_worker(struct master *master, struct entry *entry, const struct frame *frame);

/*
 * The session manager breaks each time that it is sent a packet of this client's, which it will not get any more: the client's
 * connection is broken, so that nothing of it is lost without a word.
 */
void router_given_up(struct master *master, uint64_t from);

/* The worker's word on one of its clients: W2M_SESSION; W2M_SETTLED or W2M_CONSUMED. */
enum contract_breach router_session(struct master *master, struct entry *entry, const struct frame *frame);
enum contract_breach router_number(struct master *master, struct entry *entry, const struct frame *frame);

/*
 * W2M_RENEW: the session manager hears that the stream of this client is over, gets back what was under way, and the client
 * has another id.
 */
enum contract_breach router_renew(struct master *master, struct entry *entry);

/* Tell its worker to end a client, for this reason; router_ended follows when that is done. */
void router_close(struct master *master, struct entry *entry, enum end_reason reason);

/* It is told to go, and has come to another worker, which does not know. */
void router_say_close(struct master *master, const struct entry *entry);

/* Is there room again for more from the session manager? Then it is read. */
void router_check_room(struct master *master);

/*
 * A client is gone, whatever it died of: first the session manager hears that its session has ended (unless it ended
 * that itself, or has given the address to a later login), then gets back what the client did not get, in order. Frees
 * the entry.
 */
void router_ended(struct master *master, struct entry *entry);

#endif
