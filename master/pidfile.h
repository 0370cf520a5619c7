/*
 * pidfile: the file that says which process the service is, and is locked for as long as that lives: pidfile(3bsd).
 */
#ifndef C2SD_MASTER_PIDFILE_H
#define C2SD_MASTER_PIDFILE_H

struct pidfh;

/* Lock it and write our id into it; one of a process that is gone is taken over. NULL: said in the log. */
struct pidfh *pidfile_make(const char *path);

/* Remove it; NULL: nothing. */
void pidfile_give_up(struct pidfh *file);

#endif
