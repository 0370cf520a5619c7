/*
 * account: who may log in. The password itself is never stored: a random salt and the two keys of SCRAM (RFC 5802
 * section 3), once for SHA-1 and once for SHA-256.
 *
 * An account is named by its bare address, prepared (jid.h).
 */
#ifndef C2SD_SESSIOND_ACCOUNT_H
#define C2SD_SESSIOND_ACCOUNT_H

#include <stdbool.h>

#include "sessiond/scram.h"

struct sessiond;
struct arena;

enum account_result {
	ACCOUNT_DONE = 0,
	ACCOUNT_EXISTS,		/* cannot be created again */
	ACCOUNT_UNKNOWN,	/* cannot be changed or removed */
	ACCOUNT_BAD_PASSWORD,	/* empty, too long, or not allowed by SASLprep */
	ACCOUNT_REFUSED,	/* no such account, or not its password: nobody is told which */
	ACCOUNT_BROKEN,		/* the store failed */
};

struct account_name {
	struct account_name *next;
	const char *local;
};

/* Part of the turn's transaction: should that fail, another answer takes the place of that of the packet under way. */
enum account_result account_create(struct sessiond *sd, const char *jid, const char *password);
enum account_result account_change(struct sessiond *sd, const char *jid, const char *password);

/*
 * The same, for an account that nobody has a session of. Else it commits at once what the packet has done until then:
 * sessions are ended only when the account is gone for sure.
 */
enum account_result account_remove(struct sessiond *sd, const char *jid);

/* Takes the same time for an account that does not exist. */
enum account_result account_verify(struct sessiond *sd, const char *jid, const char *password);

/*
 * The keys that a login with SCRAM is checked against: ACCOUNT_DONE. Without such an account, ACCOUNT_REFUSED and keys that
 * fit no password; salt and iterations are the same each time, as if it were there (RFC 5802 section 9 asks for neither,
 * but else anybody could ask which accounts exist). ACCOUNT_BROKEN: the store failed.
 */
enum account_result account_read_keys(struct sessiond *sd, const char *jid, enum scram_hash hash,
    struct scram_keys *keys_r);

bool account_exists(struct sessiond *sd, const char *jid);

/* The accounts of a host, in order; they live in the arena. NULL: none. */
struct account_name *account_list(struct sessiond *sd, const char *host);

#endif
