/*
 * selfsigned: a new key (ECDSA P-256) and a certificate for it that nobody else has signed, both as PEM. Knows no files.
 *
 * For each host the certificate has a DNS-ID, and an SRV-ID for _xmpp-client (RFC 6120 13.7.1.2.1, which does not want the
 * XmppAddr any more); for a host that is an IP address, an iPAddress. It can sign no other certificate (13.7.1.1).
 */
#ifndef C2SD_CTL_SELFSIGNED_H
#define C2SD_CTL_SELFSIGNED_H

#include <stddef.h>

/* "AB:CD:..." of a SHA-256, and the date "2029-02-24". */
#define SELFSIGNED_PRINT_SIZE 96
#define SELFSIGNED_DATE_SIZE 16

struct selfsigned {
	char *chain, *key;	/* PEM, with a final NUL; the key is PKCS #8 without a password */
	char print[SELFSIGNED_PRINT_SIZE];
	char expires[SELFSIGNED_DATE_SIZE];
};

/*
 * A host as it stands in certificates: an A-label in lower case, or an IP address as it was. Allocated; NULL: it is no name
 * of a host.
 */
char *selfsigned_host(const char *host);

/*
 * Make both, valid from an hour ago (clocks differ) for that many days. The hosts are as selfsigned_host gives them, at least
 * one. 0, or -1: the library failed. selfsigned_free in any case.
 */
int selfsigned_make(struct selfsigned *made_r, char *const *hosts, size_t count, unsigned days)
    __attribute__((warn_unused_result));

/* The key is wiped. */
void selfsigned_free(struct selfsigned *made);

#endif
