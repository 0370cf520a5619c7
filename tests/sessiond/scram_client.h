/*
 * scram_client: the other side of SCRAM, for tests: what a client with a password says.
 */
#ifndef C2SD_TESTS_SESSIOND_SCRAM_CLIENT_H
#define C2SD_TESTS_SESSIOND_SCRAM_CLIENT_H

#include "sessiond/scram.h"

/*
 * Append the client's last message: `without_proof` and behind it the right proof for the messages of before (`before`:
 * client-first-message-bare "," server-first-message ","). Salt and iterations as in `keys`.
 */
void scram_client_final(struct buffer *out, enum scram_hash hash, const char *password, const struct scram_keys *keys,
    const char *before, const char *without_proof);

/* The server's last message, as the client expects it. */
void scram_client_expected(struct buffer *out, enum scram_hash hash, const char *password, const struct scram_keys *keys,
    const char *before, const char *without_proof);

/* From a server-first-message. */
void scram_client_read_first(struct scram_keys *keys_r, const char *server_first);

#endif
