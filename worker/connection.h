/*
 * connection: what is known of a client's connection, for a session manager that wants to know it (doc/link.md,
 * <connection/>). Lives on the stack of one function.
 */
#ifndef C2SD_WORKER_CONNECTION_H
#define C2SD_WORKER_CONNECTION_H

#include <netinet/in.h>

#include "common/buffer.h"
#include "dialect/dialect.h"

struct client;

struct connection {
	struct dialect_connection facts;
	char ip[INET6_ADDRSTRLEN];
	struct buffer exporter, end_point, certificate;
};

/*
 * Find it out; the channel bindings are computed for it. 0 or -ENOMEM. `facts` points into the struct and into the client's
 * TLS; to be given back (connection_deinit) either way.
 */
int connection_read(struct connection *connection_r, const struct client *client) __attribute__((warn_unused_result));

/* Wipes the channel bindings. May be called twice, and for zeroed memory. */
void connection_deinit(struct connection *connection);

#endif
