/*
 * scram: the server's part of SCRAM (RFC 5802; RFC 7677 for SHA-256; channel binding of any type, RFC 5056): messages in,
 * messages out.
 *
 *	scram_read_first	the client's first message says who wants in; the owner looks up that account's keys
 *	scram_write_first	salt and iterations
 *	scram_read_final	the client's proof, and what it believes about the channel
 *	scram_write_final	our own proof
 *
 * Pure: it knows no account, no connection and no randomness. Preparing names is the owner's; so is what anybody is told
 * of a result.
 */
#ifndef C2SD_SESSIOND_SCRAM_H
#define C2SD_SESSIOND_SCRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

#define SCRAM_SALT_SIZE_MAX 16
#define SCRAM_KEY_SIZE_MAX 32

/* Of a message of the client; what it says fits in far less. */
#define SCRAM_MESSAGE_MAX 8192

enum scram_hash {
	SCRAM_SHA1,
	SCRAM_SHA256,
};

/* What is stored of a password: RFC 5802 section 3. Keys are as long as scram_key_size says. */
struct scram_keys {
	unsigned char salt[SCRAM_SALT_SIZE_MAX];
	size_t salt_size;
	long long iterations;
	unsigned char stored[SCRAM_KEY_SIZE_MAX];
	unsigned char server[SCRAM_KEY_SIZE_MAX];
};

enum scram_result {
	SCRAM_GOOD = 0,
	SCRAM_MALFORMED,	/* not as RFC 5802 section 7 has it */
	SCRAM_EXTENSION,	/* m=: it must not be ignored, and is not known (5.1) */
	SCRAM_NOT_OF_MECHANISM,	/* a channel is bound with -PLUS, and only with it */
	SCRAM_DOWNGRADED,	/* y, though -PLUS was offered: somebody has taken it out on its way (section 6) */
	SCRAM_OTHER_CHANNEL,	/* bound to another channel, or the header was not the first one (5.1, c=) */
	SCRAM_OTHER_NONCE,
	SCRAM_REFUSED,		/* the proof is wrong */
};

struct scram {
	enum scram_hash hash;
	bool plus;		/* the mechanism's name ends in -PLUS */
	bool plus_offered;
	char *username;		/* as decoded, not prepared; never empty */
	char *authzid;		/* likewise; NULL: none */
	char *binding_type;	/* "tls-exporter"; NULL: the channel is not bound */
	char *nonce;		/* both sides' */
	struct buffer header;	/* gs2-header, as it came */
	struct buffer message;	/* AuthMessage, as far as it has come */
	unsigned char signature[SCRAM_KEY_SIZE_MAX];
};

size_t scram_key_size(enum scram_hash hash);

/* RFC 5802 section 3, from a prepared password; the salt and iterations are those in the keys. False: without memory. */
bool scram_derive(struct scram_keys *keys, enum scram_hash hash, const char *password) __attribute__((warn_unused_result));

/* `plus_offered`: some mechanism of that name that ends in -PLUS. scram_deinit afterwards, in any case. */
void scram_init(struct scram *scram, enum scram_hash hash, bool plus, bool plus_offered);
void scram_deinit(struct scram *scram);

/* An enum scram_result, or -ENOMEM. */
int scram_read_first(struct scram *scram, const char *message, size_t length) __attribute__((warn_unused_result));

/* Append the answer. `nonce` is our part: printable, no comma, new each time. 0 or -ENOMEM. */
int scram_write_first(struct scram *scram, const struct scram_keys *keys, const char *nonce, struct buffer *out)
    __attribute__((warn_unused_result));

/* `binding` is the channel's data of the type that was named. As scram_read_first. */
int scram_read_final(struct scram *scram, const struct scram_keys *keys, const void *binding, size_t binding_length,
    const char *message, size_t length) __attribute__((warn_unused_result));

/* Append the answer to a good one. */
void scram_write_final(const struct scram *scram, struct buffer *out);

#endif
