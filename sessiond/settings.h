/*
 * settings: what the master tells the embedded session manager, at its start and whenever it changes, as lines key=value:
 *
 *	host=NAME		a host that is served; at least one, may come again
 *	name=NAME		the socket manager's name on the link, such as foo-sockets
 *	secret=TEXT		the link's secret
 *	database=PATH		the SQLite file
 *	registration=yes|no	may clients create accounts; default no
 *	offline-max=N		messages kept for one account; default 1000
 *	offline-bytes=N		of them that are under way to one client at most; default 4194304
 *	dialect=xmpp|sfrom	of the link (doc/link.md); default sfrom
 *	plain=tls|always	where SASL PLAIN is offered; default tls
 *	acknowledge=yes|no	on the link (XEP-0198), and wait for another one when it is lost; default no
 *	log-level=error|warning|info|debug	default info
 *
 * An unknown key is an error: a setting that does nothing would be believed. Name, secret, database and dialect are those
 * of the start; settings_change leaves them as they are.
 */
#ifndef C2SD_SESSIOND_SETTINGS_H
#define C2SD_SESSIOND_SETTINGS_H

#include <stdbool.h>

#include "common/log.h"
#include "sessiond/link_dialect.h"

#define SETTINGS_HOSTS_MAX 64

struct settings {
	/* Prepared with nameprep. Behind those that are served: some that were, whose sessions go on until they end. */
	char *hosts[2 * SETTINGS_HOSTS_MAX];
	unsigned host_count;
	unsigned closed_count;
	char *name;
	char *secret;
	char *database;
	const struct link_dialect *dialect;
	bool registration;
	bool acknowledge;
	bool plain_always;			/* SASL PLAIN where there is no TLS, too */
	unsigned offline_max;
	unsigned offline_bytes;
	enum log_level log_level;
	unsigned iterations;			/* of PBKDF2 for new passwords: not a setting, for tests */
};

/*
 * Read the lines, which are cut up on the way. 0, or -EINVAL with the number of the line that is wrong in `line_r` (0:
 * something is missing), or -ENOMEM. Either way settings_deinit gives the memory back.
 */
int settings_read(struct settings *settings_r, char *text, unsigned *line_r) __attribute__((warn_unused_result));
void settings_deinit(struct settings *settings);

/*
 * Take over what may change at any time: hosts, registration, plain, acknowledge, offline-max, offline-bytes, log-level. Hosts that are not in `next` are
 * closed; when there are too many of those the oldest are forgotten. `next` is still the caller's to settings_deinit.
 */
void settings_change(struct settings *settings, struct settings *next);

/* It is served, or was, and there are sessions of it still: one more that is closed. False: no memory. */
bool settings_keep_host(struct settings *settings, const char *host) __attribute__((warn_unused_result));

/* Is it ours? `host` must be prepared. settings_is_open: and may somebody log in there? */
bool settings_has_host(const struct settings *settings, const char *host);
bool settings_is_open(const struct settings *settings, const char *host);

#endif
