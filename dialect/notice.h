/*
 * notice: what jadc2s told who wanted to know about connections: a message over the link when a client logs in, and another
 * when it is gone (doc/link.md, "Notices"; option notify of <link>). Pure.
 */
#ifndef C2SD_DIALECT_NOTICE_H
#define C2SD_DIALECT_NOTICE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "dialect/element.h"

struct dialect_connection;

/* Longest notice, in bytes: the master keeps one for each session. */
#define NOTICE_MAX 8192

/* Append the message for `to`, from ID@NAME: `jid` has logged in, over that connection. */
void notice_put_login(struct buffer *out, const char *to, const char *id, const char *name, const char *jid,
    const struct dialect_connection *connection);

/* Is it such a message, from ID@NAME, about a session of the account of `address`? `to_r`: for whom, as on the wire. */
bool notice_is_genuine(const struct element *element, const char *id, const char *name, const char *address,
    struct range *to_r);

/* Append the message that undoes it. Nothing where it is none. */
void notice_put_logout(struct buffer *out, const void *bytes, size_t length);

#endif
