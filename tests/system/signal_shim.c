/*
 * signal_shim: in LD_PRELOAD, signals that come while a program starts: at each listen(2), before it can have been told
 * that anybody listens.
 */
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int
listen(int fd, int backlog)
{
	raise(SIGUSR1);
	raise(SIGHUP);
	return (int)syscall(SYS_listen, fd, backlog);
}
