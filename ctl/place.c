#include "ctl/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_MODE 0755

static int
file_write(int fd, const struct place_file *file)
{
	const char *text = file->text;
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t length = write(fd, text, left);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -1;
		text += length;
		left -= (size_t)length;
	}
	/* The mode last: until then it is for its owner alone, whatever the group. */
	if (file->group != PLACE_KEEP_GROUP && fchown(fd, (uid_t)-1, file->group) < 0)
		return -1;
	return fchmod(fd, file->mode) < 0 || fsync(fd) < 0 ? -1 : 0;
}

static int
file_stage(struct place_file *file)
{
	int fd, result, error;

	if (snprintf(file->beside, sizeof file->beside, "%s.XXXXXX", file->path) >= (int)sizeof file->beside) {
		file->beside[0] = '\0';
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(file->beside, O_CLOEXEC);
	if (fd < 0) {
		file->beside[0] = '\0';
		return -1;
	}
	result = file_write(fd, file);
	error = errno;
	close(fd);
	errno = error;
	return result;
}

static int
file_settle(struct place_file *file, bool replace)
{
	if ((replace ? rename(file->beside, file->path) : link(file->beside, file->path)) < 0)
		return -1;
	if (!replace)
		unlink(file->beside);
	file->beside[0] = '\0';
	return 0;
}

/* Nothing that is half done stays; errno does. */
static void
files_undo(const struct place_file *files, size_t count, size_t settled, bool replaced)
{
	int error = errno;

	for (size_t i = 0; i < count; i++) {
		if (files[i].beside[0] != '\0')
			unlink(files[i].beside);
		if (i < settled && !replaced)
			unlink(files[i].path);
	}
	errno = error;
}

int
place_files(struct place_file *files, size_t count, bool replace, const char **failed_r)
{
	struct stat status;
	size_t settled = 0;

	for (size_t i = 0; i < count; i++)
		files[i].beside[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		*failed_r = files[i].path;
		if (!replace && lstat(files[i].path, &status) == 0) {
			errno = EEXIST;
			return -1;
		}
	}
	for (size_t i = 0; i < count; i++) {
		*failed_r = files[i].path;
		if (file_stage(&files[i]) < 0)
			goto fail;
	}
	for (; settled < count; settled++) {
		*failed_r = files[settled].path;
		if (file_settle(&files[settled], replace) < 0)
			goto fail;
	}
	return 0;
fail:
	files_undo(files, count, settled, replace);
	return -1;
}

/* umask(2) is for what people make by hand: the service's user has to get through here. */
static int
folder_make(const char *path)
{
	if (mkdir(path, FOLDER_MODE) == 0)
		return chmod(path, FOLDER_MODE);
	return errno == EEXIST ? 0 : -1;
}

int
place_folder(const char *path)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (char *slash = strchr(part + 1, '/'); part[0] != '\0' && slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (folder_make(part) < 0)
			return -1;
		*slash = '/';
	}
	return folder_make(part);
}
