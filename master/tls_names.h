/*
 * tls_names: the names of ciphers, suites and groups that an operator may write, checked where libssl, which knows them, is
 * not linked.
 *
 * Ciphers and suites are named one by one, with colons between, as openssl-ciphers(1) names them: those that encrypt and
 * prove who the server is by a certificate. A test holds the list against libssl. Of groups OpenSSL's providers tell.
 */
#ifndef C2SD_MASTER_TLS_NAMES_H
#define C2SD_MASTER_TLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* The first name of the list that is none, copied to `name_r` and cut to `size`; false: all are known. */
bool tls_names_wrong_cipher(const char *list, char *name_r, size_t size);
bool tls_names_wrong_suite(const char *list, char *name_r, size_t size);
bool tls_names_wrong_group(const char *list, char *name_r, size_t size);

/* For tests: every cipher and suite that is known, one after another; NULL: there are no more. */
const char *tls_names_cipher(size_t index);
const char *tls_names_suite(size_t index);

#endif
