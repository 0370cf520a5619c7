/*
 * c2sd: the master. Reads the configuration, binds, becomes the service's user, serves.
 */
#include <bsd/stdlib.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <libxml/parser.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/privilege.h"
#include "master/master.h"
#include "master/pidfile.h"

static struct master master;
static struct pidfh *pid_file;
static struct config_lines lines;	/* of the configuration, while we start */

struct arguments {
	const char *file;
	uint32_t workers;	/* 0: as the file says */
	bool foreground;
	bool check;
	bool verbose;
};

static void __attribute__((noreturn))
usage(int status)
{
	fprintf(status == 0 ? stdout : stderr, "usage: c2sd [-c FILE] [-w WORKERS] [-f] [-t] [-v] [-V]\n"
	    "  -c FILE     configuration (" C2SD_SYSCONFDIR "/c2sd.xml)\n"
	    "  -w WORKERS  number of worker processes, whatever the file says\n"
	    "  -f          stay in the foreground, log to standard error\n"
	    "  -t          check the configuration, say what is wrong with it, and end\n"
	    "  -v          log everything\n"
	    "  -V          say the version\n");
	exit(status);
}

static uint32_t
workers_argument(const char *text)
{
	const char *error;
	long long number = strtonum(text, 1, WORKERS_MAX, &error);

	if (error != NULL) {
		fprintf(stderr, "c2sd: -w %s: %s\n", text, error);
		exit(2);
	}
	return (uint32_t)number;
}

static struct arguments
arguments_read(int argc, char **argv)
{
	struct arguments arguments = { .file = C2SD_SYSCONFDIR "/c2sd.xml" };
	int option;

	while ((option = getopt(argc, argv, "c:w:ftvVh")) != -1) {
		switch (option) {
		case 'c':
			arguments.file = optarg;
			break;
		case 'w':
			arguments.workers = workers_argument(optarg);
			break;
		case 'f':
			arguments.foreground = true;
			break;
		case 't':
			arguments.check = true;
			break;
		case 'v':
			arguments.verbose = true;
			break;
		case 'V':
			printf("c2sd " C2SD_VERSION "\n");
			exit(0);
		case 'h':
			usage(0);
		default:
			usage(2);
		}
	}
	if (optind != argc)
		usage(2);
	return arguments;
}

static void
report_error(const struct config_report *report, const char *file, int line, const char *what)
{
	char text[PATH_MAX + 1024];

	(void)report;
	config_report_format(text, sizeof text, file, line, what);
	fprintf(stderr, "%s\n", text);
}

static void __attribute__((noreturn))
configuration_refuse(struct options *options, int result)
{
	if (result < 0)
		fprintf(stderr, "c2sd: %s\n", strerror(-result));
	options_free(options);
	config_lines_free(&lines);
	exit(1);
}

static void
configuration_load(struct options *options, const struct arguments *arguments)
{
	struct config_report report = { .fn = report_error };
	int result = options_reload(options, NULL, arguments->file, &report, NULL, &lines);

	if (result != 0)
		configuration_refuse(options, result);
	options->foreground = arguments->foreground;
	if (arguments->verbose)
		options->log.level = LOG_LEVEL_DEBUG;
}

/* -t: with the files that it names. What is doubtful is said, and is no error. */
static void
configuration_check(struct options *options, const char *file)
{
	struct config_report report = { .fn = report_error };
	struct certificates_source source = { .file = file, .lines = &lines, .errors = &report };
	int result = certificates_read(&master.certificates, NULL, options, &source);

	if (result == 0)
		certificates_review(&master.certificates, options, &source);
	certificates_deinit(&master.certificates);
	if (result != 0)
		configuration_refuse(options, result);
	options_free(options);
	config_lines_free(&lines);
}

/* A reload finds the file from / as well, where the service works in the background. Never freed. */
static const char *
path_absolute(const char *path)
{
	char *folder = path[0] == '/' ? NULL : getcwd(NULL, 0), *absolute;

	if (folder == NULL || asprintf(&absolute, "%s/%s", folder, path) < 0)
		absolute = NULL;
	free(folder);
	return absolute != NULL ? absolute : path;
}

/* Who we shall be: the configured user when we are root, else who we are. */
static struct account_ids
account_find(const struct options *options)
{
	struct account_ids ids = { geteuid(), getegid() };

	if (geteuid() == 0 && !privilege_find(&ids, options->user.name, options->user.group)) {
		fprintf(stderr, "c2sd: no user %s%s%s%s\n", options->user.name, options->user.group != NULL ? " or group " : "",
		    options->user.group != NULL ? options->user.group : "", errno != 0 ? ": cannot be looked up" : "");
		exit(1);
	}
	return ids;
}

/* False: said why. */
static bool
log_begin(const struct options *options)
{
	int result = log_open(options_log_target(options), options->log.file);

	if (result < 0)
		log_error("log unusable file=\"%s\" error=\"%s\"", options->log.file, strerror(-result));
	return result == 0;
}

static bool
files_open(const struct options *options)
{
	if (!log_begin(options))
		return false;
	if (!options->foreground)
		pid_file = pidfile_make(options->pid.file);
	return options->foreground || pid_file != NULL;
}

/*
 * The log and the pid file lie in folders of the service's user, where root would follow whatever link that user has laid:
 * they are opened as that user, who will also have to open the log anew. Whoever is not root changes nothing, for a filter
 * of system calls may forbid to try. False: said why.
 */
static bool
files_open_as(const struct options *options, const struct account_ids *ids)
{
	gid_t gid = getegid(), groups[NGROUPS_MAX];
	uid_t uid = geteuid();
	bool opened;
	int count;

	if (uid == ids->uid)
		return files_open(options);
	count = getgroups(NGROUPS_MAX, groups);
	/* Whoever still is in root's groups may write what those may. */
	if (count < 0 || setgroups(1, &ids->gid) < 0 || setegid(ids->gid) < 0 || seteuid(ids->uid) < 0) {
		log_error("master still-privileged user=%s error=\"%s\"", options->user.name, strerror(errno));
		return false;
	}
	opened = files_open(options);
	if (seteuid(uid) < 0 || setegid(gid) < 0 || setgroups((size_t)count, groups) < 0) {
		log_error("master still-unprivileged error=\"%s\"", strerror(errno));
		return false;
	}
	return opened;
}

/* Whoever starts us sees errors until we are ready, wherever the log goes. False: said why. */
static bool
go_to_background(const struct options *options)
{
	bool to_stderr = options_log_target(options) == LOG_TARGET_STDERR;
	int result = 0;

	if (!to_stderr)
		log_set_echo(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
	if (!options->foreground)
		result = background_enter(&master.service.background, to_stderr);
	if (result < 0)
		log_error("background failed error=\"%s\"", strerror(-result));
	return result == 0;
}

static void
log_certificate_error(const struct config_report *report, const char *file, int line, const char *what)
{
	char text[PATH_MAX + 1536], quoted[PATH_MAX + 1536];

	(void)report;
	config_report_format(text, sizeof text, file, line, what);
	log_error("certificate unusable error=%s", log_quote(quoted, sizeof quoted, text));
}

/* Root reads the keys. False: said why. */
static bool
certificates_load(const struct options *options)
{
	struct config_report report = { .fn = log_certificate_error };
	struct certificates_source source = { .file = master.source.file, .lines = &lines, .errors = &report };
	struct certificates set = { 0 };
	int result = certificates_read(&set, NULL, options, &source);

	if (result < 0)
		log_error("certificate unusable error=\"%s\"", strerror(-result));
	if (result == 0)
		certificates_take(&master.certificates, &set);
	certificates_deinit(&set);
	config_lines_free(&lines);
	return result == 0;
}

/* Everything that root is needed for; false: said why. */
static bool
start_as_root(struct options *options, const struct account_ids *ids)
{
	int result;

	if (!certificates_load(options) || !master_bind(&master, options))
		return false;
	result = control_open(&master.control, options->control.socket, ids->uid, ids->gid);
	if (result < 0) {
		log_error("control %s unusable error=\"%s\"", options->control.socket, strerror(-result));
		return false;
	}
	if (privilege_drop(ids) < 0) {
		log_error("master still-privileged user=%s error=\"%s\"", options->user.name, strerror(errno));
		return false;
	}
	if (!privilege_has_ports())
		log_info("master unprivileged uid=%d ports=\"1024 and above\"", (int)geteuid());
	if (geteuid() == 0)
		log_warning("master runs-as-root user=%s", options->user.name);
	return true;
}

/* 0 to 2 are somebody's, so that no socket of ours becomes what a library writes its complaints to. */
static void
standard_descriptors_open(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* As many descriptors as we may have; children inherit it. */
static void
descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * Where our own name ended libbsd puts a dot, for the kernel to notice that the arguments were overwritten; whoever reads
 * the process list would see it.
 */
static void
title_set(char *name_end)
{
	setproctitle("-c2sd: master");
	if (*name_end == '.')
		*name_end = '\0';
}

/* Until the end. True: nothing has failed. */
static bool
serve(struct options *options, uint32_t workers)
{
	struct account_ids ids = account_find(options);
	bool ended_well = false;

	if (!go_to_background(options) || !files_open_as(options, &ids))
		return false;
	/* Workers and session manager are started after the drop: nothing of root is ever in them. */
	if (start_as_root(options, &ids) && privilege_seal() == 0) {
		int result = master_run(&master, workers);

		if (result < 0)
			log_error("master ended error=\"%s\"", strerror(-result));
		ended_well = result == 0 && !master.service.background.failed;
	}
	master_deinit(&master);
	pidfile_give_up(pid_file);
	return ended_well;
}

/*
 * Whoever has rotated the logs, or changed the file, may say so while we are starting: it waits until the loop takes it
 * (loop_catch), instead of ending us.
 */
static void
signals_hold(void)
{
	sigset_t later;

	sigemptyset(&later);
	sigaddset(&later, SIGHUP);
	sigaddset(&later, SIGUSR1);
	sigprocmask(SIG_BLOCK, &later, NULL);
}

int
main(int argc, char **argv, char **environment)
{
	char *name_end = argv[0] + strlen(argv[0]);
	static struct options options;
	struct arguments arguments;
	bool ended_well;

	standard_descriptors_open();
	certificate_prepare();
	setproctitle_init(argc, argv, environment);
	arguments = arguments_read(argc, argv);
	log_init("master", arguments.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	/* What the starter left open is none of ours, and would be every worker's. */
	privilege_close_from(activation_take(&master.activation));
	service_init(&master.service);
	descriptors_raise();
	configuration_load(&options, &arguments);
	if (arguments.check) {
		configuration_check(&options, arguments.file);
		return 0;
	}
	log_set_level((enum log_level)options.log.level);
	signals_hold();
	signal(SIGPIPE, SIG_IGN);
	/* A limit on the size of files is a full disk to the log, and no reason to end. */
	signal(SIGXFSZ, SIG_IGN);
	umask(027);
	title_set(name_end);
	master.source = (struct reload_source){
		.file = path_absolute(arguments.file),
		.workers = arguments.workers,
		.verbose = arguments.verbose,
		.foreground = arguments.foreground,
	};
	ended_well = serve(&options, options_worker_count(&options, arguments.workers));
	options_free(&options);
	xmlCleanupParser();
	return ended_well ? 0 : 1;
}
