#include "master/pidfile.h"

#include <bsd/libutil.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

struct pidfh *
pidfile_make(const char *path)
{
	pid_t other = -1;
	struct pidfh *file = pidfile_open(path, 0644, &other);

	/* Our umask is for what only the service may see; this is for everybody. */
	if (file != NULL && (pidfile_write(file) < 0 || fchmod(pidfile_fileno(file), 0644) < 0)) {
		int error = errno;

		pidfile_remove(file);
		file = NULL;
		errno = error;
	}
	if (file == NULL && errno == EEXIST)
		log_error("pidfile %s refused pid=%d error=\"c2sd is running already\"", path, (int)other);
	else if (file == NULL)
		log_error("pidfile %s refused error=\"%s\"", path, strerror(errno));
	return file;
}

void
pidfile_give_up(struct pidfh *file)
{
	pidfile_remove(file);
}
