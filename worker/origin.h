/*
 * origin: where a client really comes from that comes through a proxy: the header in front of everything else that it
 * sends, read from its socket (proxy.h says what such a header is).
 *
 * Half a header stays in the socket, where the kernel keeps it; the client is then told of what comes after it only
 * (EPOLLET). So there is no state and no memory of ours, nothing to bound and nothing to free, and of what stands behind
 * the header no byte is taken.
 */
#ifndef C2SD_WORKER_ORIGIN_H
#define C2SD_WORKER_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

struct client;

/*
 * Its socket is readable, and client->proxied: read the header. True: it was complete, and proxied is over. Where it has
 * told an address that is said to the master, and what is behind it is not read before the answer (UNREAD_ASKED). False: not yet (client->half_header), or the client has come to its end.
 */
bool origin_read(struct client *client);

/* M2W_ADMITTED: read it, and let it wait for the logins that have failed from its address. */
void origin_admitted(struct client *client, uint8_t failures);

/* Is this one nobody's but the proxy's own, which looks whether we are well? It has sent nothing and has just gone. */
bool origin_is_check(const struct client *client);

#endif
