/*
 * jid: an address taken apart and prepared (RFC 6122: nodeprep, nameprep, resourceprep; the profiles of libidn). What a
 * struct jid holds can be compared byte by byte.
 */
#ifndef C2SD_SESSIOND_JID_H
#define C2SD_SESSIOND_JID_H

#include <stdbool.h>
#include <stddef.h>

/* RFC 6122 2.1: 1023 bytes each, which is 3071 for an address: the socket manager takes no longer one. */
#define JID_PART_SIZE 1024
#define JID_SIZE (3 * JID_PART_SIZE)

struct jid {
	char local[JID_PART_SIZE];	/* "": none, likewise below */
	char domain[JID_PART_SIZE];
	char resource[JID_PART_SIZE];
};

/* False: malformed. */
bool jid_parse(struct jid *jid_r, const char *text) __attribute__((warn_unused_result));

/* One part alone, never empty. False: not allowed there. */
bool jid_prepare_local(char local_r[JID_PART_SIZE], const char *text) __attribute__((warn_unused_result));
bool jid_prepare_domain(char domain_r[JID_PART_SIZE], const char *text) __attribute__((warn_unused_result));
bool jid_prepare_resource(char resource_r[JID_PART_SIZE], const char *text) __attribute__((warn_unused_result));

/* Write out user@host, or host where there is no user; and the same with the resource where there is one. */
void jid_write_bare(const struct jid *jid, char bare_r[JID_SIZE]);
void jid_write_full(const struct jid *jid, char full_r[JID_SIZE]);

#endif
