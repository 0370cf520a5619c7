/*
 * escape: what somebody would try who runs his own code in a worker. Each attempt is made in a process of its own behind
 * the worker's sandbox, straight to the kernel, and must be killed with SIGSYS; what a worker does all day must not be.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <bsd/stdlib.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/privilege.h"
#include "tests/dialect/tap.h"
#include "tests/worker/tls_peer.h"
#include "worker/sandbox.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Places of descriptors behind the sandbox. */
#define CHANNEL 3
#define CHANNEL_PEER 4
#define CLIENT 5
#define CLIENT_PEER 6
#define EPOLL 7

static struct sockaddr_in inet_address;
static struct sockaddr_un unix_address = { .sun_family = AF_UNIX, .sun_path = "/run/c2sd/control" };
static char path[] = "/etc/passwd", shell[] = "/bin/sh";
static char *empty[] = { NULL };
static char bytes[4096];
static struct iovec iov = { bytes, 1 };
static struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
static int one = 1;

/* One system call with its arguments, as it is asked of the kernel. */
struct attempt {
	const char *name;
	long number;
	long arguments[6];
};

#define TRY(name, ...) { #name, SYS_##name, { __VA_ARGS__ } }
#define TRY_AS(title, name, ...) { title, SYS_##name, { __VA_ARGS__ } }
#define AT(pointer) ((long)(pointer))

static struct attempt attempts[] = {
	/* Files. */
#ifdef SYS_open
	TRY(open, AT(path), O_RDONLY),
	TRY(creat, AT("/tmp/c2sd-escaped"), 0600),
	TRY(stat, AT(path), AT(bytes)),
	TRY(access, AT(path), R_OK),
	TRY(readlink, AT("/proc/self/exe"), AT(bytes), sizeof bytes),
	TRY(unlink, AT("/tmp/c2sd-escaped")),
	TRY(rename, AT("/tmp/c2sd-escaped"), AT("/tmp/c2sd-escaped-too")),
	TRY(mkdir, AT("/tmp/c2sd-escaped"), 0700),
	TRY(chmod, AT("/tmp/c2sd-escaped"), 0700),
	TRY(pipe, AT(bytes)),
	TRY(dup2, CLIENT, CHANNEL),
#endif
	TRY(openat, AT_FDCWD, AT(path), O_RDONLY),
	TRY_AS("openat of memory", openat, AT_FDCWD, AT("/proc/self/mem"), O_RDWR),
	TRY(openat2, AT_FDCWD, AT(path), AT(bytes), 24),
	TRY(open_by_handle_at, AT_FDCWD, AT(bytes), O_RDONLY),
	TRY(statx, AT_FDCWD, AT(path), 0, 0, AT(bytes)),
	TRY(newfstatat, AT_FDCWD, AT(path), AT(bytes), 0),
	TRY(faccessat, AT_FDCWD, AT(path), R_OK),
	TRY(getdents64, CLIENT, AT(bytes), sizeof bytes),
	TRY(unlinkat, AT_FDCWD, AT("/tmp/c2sd-escaped"), 0),
	TRY(renameat2, AT_FDCWD, AT("/tmp/c2sd-escaped"), AT_FDCWD, AT("/tmp/c2sd-escaped-too"), 0),
	TRY(mkdirat, AT_FDCWD, AT("/tmp/c2sd-escaped"), 0700),
	TRY(linkat, AT_FDCWD, AT(path), AT_FDCWD, AT("/tmp/c2sd-escaped"), 0),
	TRY(chdir, AT("/")),
	TRY(chroot, AT("/")),
	TRY(mount, AT("none"), AT("/tmp"), AT("tmpfs"), 0, 0),
	TRY(umount2, AT("/tmp"), 0),
	TRY(read, CLIENT, AT(bytes), 1),
	TRY_AS("write to a client", write, CLIENT, AT(bytes), 1),
	TRY_AS("write to the channel", write, CHANNEL, AT(bytes), 1),
	TRY_AS("writev to a client", writev, CLIENT, AT(&iov), 1),
	TRY(sendfile, CLIENT, STDERR_FILENO, 0, 1),
	TRY(splice, CLIENT, 0, CHANNEL, 0, 1, 0),
	TRY(dup, CLIENT),
	TRY(dup3, CLIENT, CHANNEL, 0),
	TRY(pipe2, AT(bytes), 0),
	TRY_AS("fcntl F_DUPFD", fcntl, CLIENT, F_DUPFD, 100),
	TRY_AS("fcntl F_SETOWN", fcntl, CLIENT, F_SETOWN, 1),
	TRY_AS("ioctl TIOCSTI", ioctl, STDERR_FILENO, TIOCSTI, AT(bytes)),
	TRY_AS("ioctl FIOASYNC", ioctl, CLIENT, FIOASYNC, AT(&one)),
	TRY(memfd_create, AT("escaped"), 0),
	TRY(inotify_init1, 0),
	/* Sockets. */
	TRY(socket, AF_INET, SOCK_STREAM, 0),
	TRY_AS("socket AF_UNIX", socket, AF_UNIX, SOCK_STREAM, 0),
	TRY_AS("socket AF_NETLINK", socket, AF_NETLINK, SOCK_RAW, 0),
	TRY(socketpair, AF_UNIX, SOCK_STREAM, 0, AT(bytes)),
	TRY(connect, CLIENT, AT(&inet_address), sizeof inet_address),
	TRY_AS("connect to the control socket", connect, CLIENT, AT(&unix_address), sizeof unix_address),
	TRY(bind, CLIENT, AT(&inet_address), sizeof inet_address),
	TRY(listen, CLIENT, 5),
	TRY(accept, CLIENT, 0, 0),
	TRY(accept4, CLIENT, 0, 0, 0),
	TRY_AS("sendto with an address", sendto, CLIENT, AT(bytes), 1, 0, AT(&inet_address), sizeof inet_address),
	TRY_AS("recvfrom with an address", recvfrom, CLIENT, AT(bytes), 1, MSG_DONTWAIT, AT(bytes), AT(&one)),
	TRY_AS("sendmsg to a client", sendmsg, CLIENT, AT(&message), 0),
	TRY_AS("recvmsg from a client", recvmsg, CLIENT, AT(&message), MSG_DONTWAIT),
	TRY(sendmmsg, CHANNEL, AT(bytes), 1, 0),
	TRY(recvmmsg, CHANNEL, AT(bytes), 1, MSG_DONTWAIT, 0),
	TRY(getpeername, CLIENT, AT(bytes), AT(&one)),
	TRY_AS("shutdown SHUT_RDWR", shutdown, CLIENT, SHUT_RDWR),
	TRY_AS("setsockopt SO_ATTACH_FILTER", setsockopt, CLIENT, SOL_SOCKET, SO_ATTACH_FILTER, AT(bytes), 16),
	TRY_AS("setsockopt TCP_REPAIR", setsockopt, CLIENT, IPPROTO_TCP, TCP_REPAIR, AT(&one), sizeof one),
	TRY_AS("setsockopt TCP_ULP", setsockopt, CLIENT, IPPROTO_TCP, TCP_ULP, AT("tls"), 3),
	TRY(getsockopt, CLIENT, SOL_SOCKET, SO_PEERCRED, AT(bytes), AT(&one)),
	/* Programs and processes. */
	TRY(execve, AT(shell), AT(empty), AT(empty)),
	TRY(execveat, AT_FDCWD, AT(shell), AT(empty), AT(empty), 0),
#ifdef SYS_fork
	TRY(fork, 0),
	TRY(vfork, 0),
#endif
	TRY(clone, SIGCHLD),
	TRY_AS("clone of a thread", clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD),
	TRY_AS("clone into a user namespace", clone, CLONE_NEWUSER | SIGCHLD),
	TRY(clone3, AT(bytes), 64),
	TRY(wait4, -1, 0, WNOHANG, 0),
	TRY(kill, 0, 0),
	TRY_AS("kill of everybody", kill, -1, 0),
	TRY_AS("tgkill of init", tgkill, 1, 1, SIGABRT),
	TRY_AS("tgkill with another signal", tgkill, 0, 0, SIGTERM),
	TRY(tkill, 1, 0),
	TRY(rt_sigqueueinfo, 1, 0, AT(bytes)),
	TRY(pidfd_open, 1, 0),
	TRY(pidfd_getfd, CLIENT, 0, 0),
	TRY(pidfd_send_signal, CLIENT, 0, 0, 0),
	TRY_AS("ptrace of the parent", ptrace, PTRACE_SEIZE, 1, 0, 0),
	TRY_AS("ptrace of ourselves", ptrace, PTRACE_TRACEME, 0, 0, 0),
	TRY(process_vm_readv, 1, AT(&iov), 1, AT(&iov), 1, 0),
	TRY(process_vm_writev, 1, AT(&iov), 1, AT(&iov), 1, 0),
	TRY(kcmp, 1, 1, 0, 0, 0),
	TRY(rt_sigaction, SIGSYS, 0, AT(bytes), 8),
	TRY(sched_setaffinity, 1, 8, AT(bytes)),
	TRY(setpriority, PRIO_PROCESS, 0, 0),
	TRY(prlimit64, 0, RLIMIT_FSIZE, 0, AT(bytes)),
	TRY(timer_create, CLOCK_MONOTONIC, 0, AT(bytes)),
	/* Code. */
	TRY_AS("mmap of code", mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	TRY_AS("mmap of writable code", mmap, 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	TRY_AS("mmap of a descriptor", mmap, 0, 4096, PROT_READ, MAP_PRIVATE, CLIENT, 0),
	TRY_AS("mprotect to code", mprotect, AT(bytes), 4096, PROT_READ | PROT_EXEC),
	TRY(pkey_mprotect, AT(bytes), 4096, PROT_READ | PROT_EXEC, -1),
	TRY(personality, 0x0400000 /* READ_IMPLIES_EXEC */),
	TRY(shmget, 0, 4096, 01600),
	TRY(shmat, 0, 0, SHM_EXEC),
	TRY(remap_file_pages, AT(bytes), 4096, 0, 0, 0),
	TRY(userfaultfd, 0),
	/* Rights. */
	TRY(setuid, 0),
	TRY(setresuid, 0, 0, 0),
	TRY(setresgid, 0, 0, 0),
	TRY(setgroups, 0, 0),
	TRY(capset, AT(bytes), AT(bytes)),
	TRY(unshare, CLONE_NEWUSER),
	TRY(setns, CLIENT, 0),
	TRY_AS("prctl PR_SET_DUMPABLE", prctl, PR_SET_DUMPABLE, 1, 0, 0, 0),
	TRY_AS("prctl PR_SET_NAME", prctl, PR_SET_NAME, AT("escaped"), 0, 0, 0),
	TRY(seccomp, 1, 0, AT(bytes)),
	TRY(umask, 0),
	/* The kernel's wider parts. */
	TRY(bpf, 0, AT(bytes), 64),
	TRY(io_uring_setup, 8, AT(bytes)),
	TRY(io_setup, 8, AT(bytes)),
	TRY(perf_event_open, AT(bytes), 0, -1, -1, 0),
	TRY(keyctl, 0, 0, 0, 0, 0),
	TRY(add_key, AT("user"), AT("x"), AT(bytes), 1, 0),
	TRY(init_module, AT(bytes), 1, AT("")),
	TRY(kexec_load, 0, 0, 0, 0),
	TRY(syslog, 3, AT(bytes), 1),
	TRY(msgget, 0, 01600),
	TRY(semget, 0, 1, 01600),
	TRY(mq_open, AT("/escaped"), O_CREAT, 0600, 0),
	TRY(sethostname, AT("escaped"), 7),
	TRY(clock_settime, CLOCK_REALTIME, AT(bytes)),
	TRY(futex, AT(&one), FUTEX_CMP_REQUEUE_PI, 0, 0, 0, 0),
	TRY(eventfd2, 0, 0),
	TRY(signalfd4, -1, AT(bytes), 8, 0),
	TRY(timerfd_create, CLOCK_MONOTONIC, 0),
	TRY(epoll_create1, 0),
	TRY(vmsplice, CLIENT, AT(&iov), 1, 0),
	{ "a number that no kernel knows", 9999, { 0 } },
#ifdef __x86_64__
	{ "open of x32", 0x40000000 + SYS_open, { AT(path), O_RDONLY } },
	{ "write of x32", 0x40000000 + SYS_write, { STDERR_FILENO, AT(bytes), 0 } },
#endif
};

static void
place(int from, int to)
{
	if (dup2(from, to) < 0)
		_exit(100);
}

/* In the child: the descriptors of a worker with one client, and then the sandbox. */
static void
enter(void)
{
	int pair[2], client[2], epoll = epoll_create1(0);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, client) < 0)
		_exit(100);
	for (int i = 0; i < 2; i++) {
		place(pair[i], 20 + i);
		place(client[i], 22 + i);
	}
	place(epoll, 24);
	for (int i = 0; i < 5; i++)
		place(20 + i, CHANNEL + i);
	privilege_close_from(EPOLL + 1);
	if (privilege_seal() < 0 || sandbox_enter(CHANNEL) < 0)
		_exit(101);
}

static int
status_of(pid_t pid)
{
	int status = -1;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(attempt_is_killed)
{
	const struct attempt *a = &attempts[_i];
	const long *argument = a->arguments;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		enter();
		syscall(a->number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
		_exit(102);
	}
	status = status_of(pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: status 0x%x", a->name, status);
}
END_TEST

#ifdef __x86_64__
/* The kernel takes calls of 32-bit programs from 64-bit ones, with other numbers: 5 is open there, and fstat here. */
START_TEST(call_of_32_bits_is_killed)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		long result = 20;	/* getpid, which is on the list */

		enter();
		__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
		_exit(102);
	}
	status = status_of(pid);
	/* A kernel without them ends it in another way. */
	ck_assert_msg(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV), "0x%x", status);
}
END_TEST
#endif

/* What a worker does all day. */
static int
work(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct timespec now;
	char *large = malloc(1 << 20);

	if (large == NULL || (large = realloc(large, 64 << 20)) == NULL)
		return 1;
	memset(large, 1, 64 << 20);
	free(large);
	if (epoll_ctl(EPOLL, EPOLL_CTL_ADD, CLIENT, &event) < 0 || epoll_wait(EPOLL, &event, 1, 0) != 0)
		return 2;
	if (sendmsg(CHANNEL, &message, MSG_NOSIGNAL) != 1 || recvmsg(CHANNEL, &message, MSG_DONTWAIT) >= 0)
		return 3;
	if (send(CLIENT, "x", 1, MSG_NOSIGNAL) != 1 || recv(CLIENT_PEER, bytes, 1, MSG_DONTWAIT) != 1)
		return 4;
	setsockopt(CLIENT, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (shutdown(CLIENT, SHUT_WR) < 0 || close(CLIENT) < 0)
		return 5;
	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0 || arc4random() == arc4random())
		return 6;
	return 0;
}

START_TEST(work_goes_on)
{
	pid_t pid = fork();

	if (pid == 0) {
		enter();
		exit(work());
	}
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

/* A certificate comes, and a client who speaks TLS, with either version. */
static int
work_tls(SSL_CTX *client, const struct made *made)
{
	struct tls_tickets *tickets = peer_tickets(1, 0);
	struct tls_context *context = peer_context(&peer_settings, tickets, made, NULL);
	struct wire wire;

	wire_init(&wire, context, client, (int[]){ CLIENT, CLIENT_PEER });
	while (wire_up(&wire, SIZE_MAX))
		wire_step(&wire);
	if (wire.result != TLS_READY || SSL_write(wire.client, "x", 1) != 1 || !wire_up(&wire, SIZE_MAX))
		return 1;
	if (tls_read(wire.tls, bytes, 2) != 1 || tls_write(wire.tls, "y", 1) != 1)
		return 2;
	tls_close(wire.tls);
	wire_down(&wire);
	if (SSL_read(wire.client, bytes, 2) != 1 || SSL_read(wire.client, bytes, 1) != 0)
		return 3;
	wire_deinit(&wire);
	tls_context_free(&context);
	tls_tickets_free(&tickets);
	return 0;
}

START_TEST(tls_goes_on)
{
	SSL_CTX *client = NULL;
	struct made made;
	pid_t pid = fork();

	if (pid == 0) {
		if (tls_init() < 0)
			_exit(100);
		made_init(&made, _i % 2 ? MADE_EC : MADE_RSA, "a.example", "DNS:a.example");
		client = peer_client();
		SSL_CTX_set_max_proto_version(client, _i / 2 ? TLS1_3_VERSION : TLS1_2_VERSION);
		enter();
		exit(work_tls(client, &made));
	}
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

/* A bug of ours shows as what it is. */
START_TEST(abort_is_an_abort)
{
	int errors[2], status;
	char text[512];
	ssize_t length;
	pid_t pid;

	ck_assert_int_eq(pipe(errors), 0);
	pid = fork();
	if (pid == 0) {
		if (dup2(errors[1], STDERR_FILENO) < 0)
			_exit(100);
		enter();
		__assert_fail("a worker is sound", "escape.c", 1, "main");
	}
	close(errors[1]);
	length = read(errors[0], text, sizeof text - 1);
	close(errors[0]);
	status = status_of(pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status 0x%x", status);
	ck_assert_int_gt(length, 0);
	text[length] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "a worker is sound"));
}
END_TEST

/* Whoever is in keeps nothing of what was before. */
START_TEST(no_way_out_of_the_sandbox)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		enter();
		if (sandbox_enter(CLIENT) == 0)
			_exit(103);
		_exit(102);
	}
	status = status_of(pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "status 0x%x", status);
}
END_TEST

int
main(void)
{
	const char *preload = getenv("LD_PRELOAD");
	TCase *tests;
	Suite *suite;

	if (!sandbox_is_built() || (preload != NULL && strstr(preload, "vgpreload") != NULL)) {
		printf("1..0 # SKIP %s\n", sandbox_is_built() ? "valgrind has system calls of its own" : "there is no sandbox");
		return EXIT_SUCCESS;
	}
	suite = suite_create("escape");
	tests = tcase_create("escape");
	tcase_add_loop_test(tests, attempt_is_killed, 0, COUNT(attempts));
#ifdef __x86_64__
	tcase_add_test(tests, call_of_32_bits_is_killed);
#endif
	tcase_add_test(tests, work_goes_on);
	tcase_add_loop_test(tests, tls_goes_on, 0, 4);
	tcase_add_test(tests, abort_is_an_abort);
	tcase_add_test(tests, no_way_out_of_the_sandbox);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
