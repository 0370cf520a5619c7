/*
 * edge: does every reader of the link understand what the client's own words mean, and nothing else?
 *
 * What a client sends goes the way that it goes in a worker (worker/stream, then the dialect's worker half), in each
 * dialect, once as a client that has not logged in and once in a session. The bytes for the link are read, behind the link's header, by
 * expat in each manner that session managers have (reader.h) and by the embedded session manager. The client's own bytes
 * are read by libxml2 by itself. All must be the same trees, as many and in the same order, but for what
 * doc/design.md 3 says: sto and sfrom are ours, once each (or <route/> around a stanza is); xml:lang from the header; no
 * code 510; and, of a login, its id where it had none and the sid of its digest. Nothing that goes up opens a stream, counts as
 * the link's acknowledgement, or would be refused by the master.
 */
#ifndef C2SD_TESTS_EDGE_EDGE_H
#define C2SD_TESTS_EDGE_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/stream.h"

/* False: they differ, and stderr says where. */
bool edge_check(const struct stream_limits *limits, const uint8_t *bytes, size_t length);

#endif
