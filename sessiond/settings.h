/*
 * settings: what the master tells the embedded session manager at its start, as lines key=value:
 *
 *	host=NAME		a host that is served; at least one, may come again
 *	name=NAME		the socket manager's name on the link, such as foo-sockets
 *	secret=TEXT		the link's secret
 *	database=PATH		the SQLite file
 *	registration=yes|no	may clients create accounts; default no
 *	offline-max=N		messages kept for one account; default 1000
 *	log=stderr|syslog	where the log goes; default stderr
 *	log-level=error|warning|info|debug	default info
 *
 * An unknown key is an error: a setting that does nothing would be believed.
 */
#ifndef C2SD_SESSIOND_SETTINGS_H
#define C2SD_SESSIOND_SETTINGS_H

#include <stdbool.h>

#include "common/log.h"

#define SETTINGS_HOSTS_MAX 64

struct settings {
	char *hosts[SETTINGS_HOSTS_MAX];	/* prepared with nameprep */
	unsigned host_count;
	char *name;
	char *secret;
	char *database;
	bool registration;
	unsigned offline_max;
	bool syslog;
	enum log_level log_level;
	unsigned iterations;			/* of PBKDF2 for new passwords: not a setting, for tests */
};

/*
 * Read the lines, which are cut up on the way. 0, or -EINVAL with the number of the line that is wrong in `line_r` (0:
 * something is missing), or -ENOMEM. Where the log goes is known then, too, if it stood above. Either way
 * settings_deinit gives the memory back.
 */
int settings_read(struct settings *settings_r, char *text, unsigned *line_r) __attribute__((warn_unused_result));
void settings_deinit(struct settings *settings);

/* `host` must be prepared. */
bool settings_has_host(const struct settings *settings, const char *host);

#endif
