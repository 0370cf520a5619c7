/*
 * route_link: the link half of the dialect `route` (struct dialect; doc/link.md, "route").
 */
#ifndef C2SD_DIALECT_ROUTE_LINK_H
#define C2SD_DIALECT_ROUTE_LINK_H

#include "dialect/dialect.h"

void route_link_header(struct buffer *out, const char *name);
void route_link_read(struct packet *packet_r, const void *bytes, size_t length);
enum dialect_verdict route_link_verify(const void *bytes, size_t length, const char *id, const char *name,
    const char *address, struct range *to_r);
void route_link_bounce(struct buffer *out, const void *bytes, size_t length);
void route_link_end(struct buffer *out, const char *id, const char *name, const char *address, bool goodbye);

void route_link_probe(struct buffer *out, const char *id, const char *name, const char *address, const char *probe);
enum probe_answer route_link_probe_answer(struct buffer *out, const void *bytes, size_t length, const char *probe);

#endif
