#include "common/notify.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int
notify_open(struct notify *notify, const char *target)
{
	size_t length = target == NULL ? 0 : strlen(target);

	*notify = (struct notify){ .fd = -1, .address.sun_family = AF_UNIX };
	if (length == 0)
		return 0;
	if ((target[0] != '/' && target[0] != '@') || length < 2 || length >= sizeof notify->address.sun_path)
		return -EINVAL;
	memcpy(notify->address.sun_path, target, length);
	if (target[0] == '@')
		notify->address.sun_path[0] = '\0';
	/* An abstract name is as long as it is said to be; a path ends with its zero. */
	notify->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (target[0] == '/'));
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify->fd >= 0)
		return 0;
	notify->length = 0;
	return -errno;
}

void
notify_close(struct notify *notify)
{
	if (notify_is_open(notify))
		close(notify->fd);
	*notify = (struct notify){ .fd = -1 };
}

static void
waiting_remove(struct notify *notify, unsigned number)
{
	notify->waiting--;
	memmove(notify->texts[number], notify->texts[number + 1], (notify->waiting - number) * sizeof notify->texts[0]);
}

/* The first of those that the next of its kind makes good again; else the first. */
static void
waiting_make_room(struct notify *notify)
{
	for (unsigned i = 0; i < notify->waiting; i++) {
		if (strncmp(notify->texts[i], "STATUS=", 7) == 0 || strncmp(notify->texts[i], "WATCHDOG=", 9) == 0) {
			waiting_remove(notify, i);
			return;
		}
	}
	waiting_remove(notify, 0);
}

bool
notify_flush(struct notify *notify)
{
	while (notify->waiting > 0) {
		const char *text = notify->texts[0];

		if (sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&notify->address,
		    notify->length) < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR))
			return false;
		/* Whom any other error keeps from hearing would not hear it later either. */
		waiting_remove(notify, 0);
	}
	return true;
}

void
notify_say(struct notify *notify, const char *format, ...)
{
	va_list arguments;

	if (!notify_is_open(notify))
		return;
	if (notify->waiting == NOTIFY_WAITING_MAX)
		waiting_make_room(notify);
	va_start(arguments, format);
	vsnprintf(notify->texts[notify->waiting], NOTIFY_TEXT_MAX, format, arguments);
	va_end(arguments);
	notify->waiting++;
	notify_flush(notify);
}

uint64_t
notify_watchdog(const char *usec, const char *process, pid_t pid)
{
	const char *error;
	long long interval;

	if (usec == NULL)
		return 0;
	if (process != NULL && (strtonum(process, 1, INT_MAX, &error) != pid || error != NULL))
		return 0;
	interval = strtonum(usec, 1, LLONG_MAX, &error);
	return error == NULL ? (uint64_t)interval : 0;
}
