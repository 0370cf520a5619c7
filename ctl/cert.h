/*
 * cert: `c2sctl cert`: a self-signed certificate for a service that has none. Asks no c2sd.
 */
#ifndef C2SD_CTL_CERT_H
#define C2SD_CTL_CERT_H

#include <stdbool.h>
#include <stddef.h>

/* Apple's systems take no certificate of a server that is valid for longer. */
#define CERT_DAYS 825
#define CERT_DAYS_MAX 3650

#define CERT_FOLDER C2SD_SYSCONFDIR "/tls"

struct cert_order {
	const char *configuration;	/* where hosts and the service's user stand; NULL: no file was named */
	const char *folder;		/* for cert.pem and key.pem */
	char **hosts;			/* instead of those of the configuration */
	size_t host_count;		/* 0: those of the configuration, by default of the usual file */
	unsigned days;
	bool force;			/* what is there may be replaced */
	bool json;
};

/* Make it and say so on standard output. EXIT_OK; else says why not and exits (ctl/ask.h). */
int cert_run(const struct cert_order *order);

#endif
