/*
 * certificate: one certificate with its chain and its key, as two files have them (or one).
 *
 * Everything is read and checked here, in the process that may read the files; workers get it as frames. The key is kept in
 * DER, in memory of its own (vault.h), because workers are started later, too; nothing else of it stays.
 *
 * Pure but for the files: no log.
 */
#ifndef C2SD_MASTER_CERTIFICATE_H
#define C2SD_MASTER_CERTIFICATE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "common/buffer.h"
#include "common/vault.h"

/* Longer files are not read: 96 KB of DER in base64, and as much text between. */
#define CERTIFICATE_FILE_MAX (256u * 1024)

/* What may be wrong with a certificate that can be used; bits. */
enum certificate_doubt {
	CERTIFICATE_DISORDER = 1,	/* one of the chain has not issued the one before it (RFC 5246 7.4.2) */
	CERTIFICATE_PURPOSE = 2,	/* it is not for servers (RFC 5280 4.2.1.12) */
	CERTIFICATE_EXPOSED = 4,	/* everybody on this machine may read the key's file */
	CERTIFICATE_NAMELESS = 8,	/* it says no host */
	CERTIFICATE_EXPIRED = 16,
	CERTIFICATE_EXPIRES_SOON = 32,
	CERTIFICATE_NOT_YET = 64,	/* its time has not come */
	CERTIFICATE_DOUBT_END = 128,
};

struct certificate {
	struct buffer chain;	/* DER, itself first, one behind the other */
	struct vault key;	/* PKCS #8, DER */
	struct buffer names;	/* of hosts, each with a zero behind it; "*." in front stands for one label */
	time_t not_before, not_after;
	unsigned doubts;	/* those that do not come with time: certificate_doubts */
};

struct certificate_error {
	bool of_key;		/* it is about the key's file, not the chain's */
	char text[96];		/* "no certificate in it" */
};

/*
 * Before anything in this process uses OpenSSL: let what it gives back be wiped while a key is read. Nothing else depends on
 * it.
 */
void certificate_prepare(void);

/*
 * Read `chain_file` and `key_file` (NULL: the key is in the chain's file, too). 0; -EINVAL: *error_r says what is wrong; or
 * -ENOMEM. certificate_deinit in any case.
 */
int certificate_read(struct certificate *certificate_r, const char *chain_file, const char *key_file,
    struct certificate_error *error_r) __attribute__((warn_unused_result));

/* Wipes the key. May be called twice. */
void certificate_deinit(struct certificate *certificate);

/* The first of its names, and the one after that; NULL: there is none. */
const char *certificate_name_first(const struct certificate *certificate);
const char *certificate_name_next(const struct certificate *certificate, const char *name);

/* Is it for that host? As clients look at it: RFC 6125 6.4, RFC 6120 13.7.1.2. */
bool certificate_covers(const struct certificate *certificate, const char *host);

/* Is it the same certificate, with the same key? */
bool certificate_equals(const struct certificate *one, const struct certificate *other);

/* All that may be wrong with it at that time; it expires soon with less than so many days left. */
unsigned certificate_doubts(const struct certificate *certificate, time_t now, unsigned expiry_days);

/* "expires-soon"; and in words, behind the name of the file. */
const char *certificate_doubt_name(enum certificate_doubt doubt);
const char *certificate_doubt_text(enum certificate_doubt doubt);

/* "2026-11-21T17:58:20Z" */
#define CERTIFICATE_TIME_SIZE 32
const char *certificate_not_after(const struct certificate *certificate, char text_r[CERTIFICATE_TIME_SIZE]);

/* Whole days until it expires, rounded down; negative: it has. */
long certificate_days_left(const struct certificate *certificate, time_t now);

#endif
