/* visitor: one who asks on the control socket of the stage. */
#ifndef C2SD_TESTS_MASTER_VISITOR_H
#define C2SD_TESTS_MASTER_VISITOR_H

#include <stdbool.h>

#define DONE "{\"done\":true}\n"
#define REFUSED(why) "{\"error\":\"" why "\"}\n"

/* A connection; -1: there is nobody. And to the stage, where there must be. */
int socket_connect(const char *path);
int visit(void);

void say(int fd, const char *text);

/* Connect, and say this line. */
int ask(const char *request);

/* What has come, until it would wait; valid until the next call. *over_r: the connection has been closed. */
const char *hear(int fd, bool *over_r);

/* This is all that comes, and then the connection is closed. */
void assert_answer(int fd, const char *text);
void assert_asked(const char *request, const char *text);

/* Nothing has come yet. */
void assert_no_answer(int fd);

/* At the end. */
void visitor_forget(void);

#endif
