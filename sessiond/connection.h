/*
 * connection: what the socket manager says of a client's connection (<connection/>, doc/link.md): whether it is encrypted,
 * and the data that binds a login to that very channel (RFC 5056; tls-exporter, RFC 9266; tls-server-end-point, RFC 5929).
 */
#ifndef C2SD_SESSIOND_CONNECTION_H
#define C2SD_SESSIOND_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "sessiond/node.h"

/* The longest that there is: a certificate's SHA-512. */
#define CONNECTION_BINDING_MAX 64

enum connection_binding {
	CONNECTION_EXPORTER,
	CONNECTION_END_POINT,
	CONNECTION_BINDING_COUNT,
};

struct connection {
	bool tls;
	struct {
		uint8_t length;		/* 0: none of this type */
		unsigned char bytes[CONNECTION_BINDING_MAX];
	} bindings[CONNECTION_BINDING_COUNT];
};

/* From the element; NULL: nothing is known, which is what counts for a connection in clear text. */
void connection_read(struct connection *connection_r, const struct node *node);

/* Is there anything to bind a login to? */
bool connection_can_bind(const struct connection *connection);

/* The data of the type of that name; false: there is none. */
bool connection_find(const struct connection *connection, const char *type, enum connection_binding *binding_r);

/* As in RFC 9266 and RFC 5929. */
const char *connection_binding_name(enum connection_binding binding);

#endif
