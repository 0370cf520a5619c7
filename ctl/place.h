/*
 * place: new files, all of them or none. Each is written beside its place, with its mode and group, and gets its name when
 * all have reached the disk: nobody ever finds half a file, or a key that others can read.
 */
#ifndef C2SD_CTL_PLACE_H
#define C2SD_CTL_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PLACE_KEEP_GROUP ((gid_t)-1)

struct place_file {
	const char *path;
	const char *text;
	mode_t mode;
	gid_t group;		/* or PLACE_KEEP_GROUP */
	char beside[PATH_MAX];	/* place's own */
};

/*
 * Write them. Those that exist are replaced, or, unless `replace`, stay: that is EEXIST. 0, or -1 with errno, and `failed_r`
 * is the path that it is about; then what was there before is there (but when several are replaced, those in front of it
 * may be new).
 */
int place_files(struct place_file *files, size_t count, bool replace, const char **failed_r)
    __attribute__((warn_unused_result));

/* Make a folder and those above it that are missing, readable for all. 0, or -1 with errno. */
int place_folder(const char *path) __attribute__((warn_unused_result));

#endif
