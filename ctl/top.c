#include "ctl/top.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ask.h"
#include "ctl/balance.h"
#include "ctl/print.h"

/* Where there is no terminal to fill. */
#define ROWS_PLAIN 20
#define ROWS_MAX 500

/* Lines above the clients. */
#define HEADING 3

/* Between these only the clients that did something are asked for; then all, so that those that are gone are forgotten. */
#define PAGES_PER_SURVEY 30

struct row {
	json_t *session;
	double in, out;		/* bytes a second */
};

struct top {
	const char *path;
	json_t *filters;
	json_t *status;		/* of the service, as of this page */
	bool balanced;		/* and its counters of packets balance */
	json_t *totals;		/* by id: what each client had sent and got when it was last seen */
	json_t *fresh;		/* those of the survey of all that is under way, or NULL */
	double seconds;		/* since the page before */
	struct row rows[ROWS_MAX];	/* the busiest, in order */
	unsigned count, room;
};

static long long
number_of(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- what is asked ---- */

static void
row_insert(struct top *top, const struct row *row)
{
	unsigned place = top->count;

	while (place > 0 && top->rows[place - 1].in + top->rows[place - 1].out < row->in + row->out)
		place--;
	if (place >= top->room)
		return;
	if (top->count == top->room)
		json_decref(top->rows[--top->count].session);
	memmove(top->rows + place + 1, top->rows + place, (top->count - place) * sizeof top->rows[0]);
	top->rows[place] = *row;
	json_incref(row->session);
	top->count++;
}

static void
take_session(const char *line, const json_t *object, void *argument)
{
	struct top *top = argument;
	const char *id = json_string_value(json_object_get(object, "id"));
	long long in = number_of(object, "bytes_in"), out = number_of(object, "bytes_out");
	const json_t *before = id == NULL ? NULL : json_object_get(top->totals, id);
	struct row row = { .session = NULL };
	json_t *total;

	(void)line;
	if (id == NULL)
		return;
	if (top->seconds > 0) {
		/* One that was never seen has done all it did since then. */
		row.session = json_deep_copy(object);
		row.in = (double)(in - json_integer_value(json_array_get(before, 0))) / top->seconds;
		row.out = (double)(out - json_integer_value(json_array_get(before, 1))) / top->seconds;
		row_insert(top, &row);
		json_decref(row.session);
	}
	total = json_pack("[I, I]", (json_int_t)in, (json_int_t)out);
	json_object_set_new(top->fresh != NULL ? top->fresh : top->totals, id, total);
}

static void
take_status(const char *line, const json_t *object, void *argument)
{
	struct top *top = argument;

	(void)line;
	json_decref(top->status);
	top->status = json_deep_copy(object);
	top->balanced = balance_check(object);
}

/* Everybody, or (seconds) only those that did something. */
static int
survey(struct top *top, unsigned seconds)
{
	int status;

	for (; top->count > 0; top->count--)
		json_decref(top->rows[top->count - 1].session);
	if (seconds == 0)
		top->fresh = json_object();
	if (seconds == 0)
		json_object_del(top->filters, "active");
	else
		json_object_set_new(top->filters, "active", json_integer(seconds));
	status = ask(top->path, top->filters, 0, take_session, top);
	if (top->fresh != NULL) {
		json_decref(top->totals);
		top->totals = top->fresh;
		top->fresh = NULL;
	}
	return status;
}

static int
ask_status(struct top *top)
{
	json_t *request = json_pack("{s:s}", "command", "status");
	int status = ask(top->path, request, 0, take_status, top);

	json_decref(request);
	return status;
}

/* ---- what is shown ---- */

static void
show_heading(const struct top *top)
{
	const json_t *link = json_object_get(top->status, "link"), *packets = json_object_get(top->status, "packets");
	const char *state = json_string_value(json_object_get(link, "state"));
	char held[16];

	printf("clients %lld, sessions %lld, workers %zu, link %s, packets held %lld (%s)%s\n",
	    number_of(top->status, "clients"), number_of(top->status, "sessions"),
	    json_array_size(json_object_get(top->status, "workers")), state == NULL ? "?" : state,
	    number_of(packets, "held"), print_size(number_of(top->status, "held_bytes"), held),
	    top->balanced ? "" : ", NOT BALANCED");
	printf("\n%-32s %-32s %6s %8s %8s %8s %6s %-8s\n", "id", "account", "worker", "in/s", "out/s", "idle", "unsent",
	    "state");
}

static void
show_row(const struct row *row)
{
	const char *account = json_string_value(json_object_get(row->session, "account"));
	const char *state = json_string_value(json_object_get(row->session, "state"));
	char in[16], out[16], unsent[16];

	print_text(json_string_value(json_object_get(row->session, "id")), 32);
	putchar(' ');
	print_text(account == NULL ? "-" : account, 32);
	printf(" %6lld %8s %8s %8lld %6s %-8s\n", number_of(row->session, "worker"), print_size((long long)row->in, in),
	    print_size((long long)row->out, out), number_of(row->session, "idle"),
	    print_size(number_of(row->session, "unsent"), unsent), state == NULL ? "-" : state);
}

static void
show_json(const struct row *row)
{
	char *line;

	json_object_set_new(row->session, "rate_in", json_integer((json_int_t)row->in));
	json_object_set_new(row->session, "rate_out", json_integer((json_int_t)row->out));
	line = json_dumps(row->session, JSON_COMPACT);
	puts(line == NULL ? "{}" : line);
	free(line);
}

static void
show_page(const struct top *top, bool json)
{
	if (!json)
		show_heading(top);
	for (unsigned i = 0; i < top->count; i++) {
		if (json)
			show_json(&top->rows[i]);
		else
			show_row(&top->rows[i]);
	}
	fflush(stdout);
}

/* ---- the terminal ---- */

static struct termios terminal_before;

/* A line that is too long for the terminal is cut: continued on the next one, it would push others off the page. */
static void
terminal_wrap(bool on)
{
	const char *sequence = on ? "\033[?7h" : "\033[?7l";

	if (write(STDOUT_FILENO, sequence, strlen(sequence)) < 0)
		return;
}

static void
terminal_restore(void)
{
	terminal_wrap(true);
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}

static void
on_signal(int number)
{
	terminal_restore();
	_exit(number == SIGINT ? EXIT_OK : 128 + number);
}

/* Keys come one by one and unseen, until the end of the process, whatever it ends of. */
static void
terminal_prepare(void)
{
	struct termios terminal;

	if (tcgetattr(STDIN_FILENO, &terminal_before) < 0)
		return;
	terminal = terminal_before;
	terminal.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	atexit(terminal_restore);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
	terminal_wrap(false);
}

static unsigned
terminal_rows(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row <= HEADING + 1)
		return ROWS_PLAIN;
	return size.ws_row - HEADING - 1 < ROWS_MAX ? size.ws_row - HEADING - 1u : ROWS_MAX;
}

/* True when the key was pressed that ends it all. */
static bool
wait_for_key(unsigned seconds)
{
	struct pollfd key = { .fd = STDIN_FILENO, .events = POLLIN };
	double end = now() + seconds;
	char pressed;

	while (now() < end) {
		if (poll(&key, 1, (int)((end - now()) * 1000) + 1) <= 0)
			continue;
		if (read(STDIN_FILENO, &pressed, 1) <= 0)
			key.fd = -1;
		else if (pressed == 'q' || pressed == 'Q')
			return true;
	}
	return false;
}

static void
wait_plainly(unsigned seconds)
{
	struct timespec time = { .tv_sec = seconds };

	while (nanosleep(&time, &time) < 0)
		;
}

/* ---- page after page ---- */

static int
pages(struct top *top, unsigned seconds, bool json, bool terminal)
{
	double before = now();
	int status = survey(top, 0);

	for (unsigned page = 1; status == EXIT_OK; page++) {
		double at;

		if (!terminal)
			wait_plainly(seconds);
		else if (wait_for_key(seconds))
			return EXIT_OK;
		top->room = terminal ? terminal_rows() : ROWS_PLAIN;
		status = ask_status(top);
		at = now();
		top->seconds = at - before;
		before = at;
		/* What was done while the last page was made is among it. */
		if (status == EXIT_OK)
			status = survey(top, page % PAGES_PER_SURVEY == 0 ? 0 : (unsigned)top->seconds + 2);
		if (status != EXIT_OK)
			break;
		if (terminal)
			fputs("\033[H\033[2J", stdout);
		show_page(top, json);
		if (!terminal)
			break;
	}
	return status;
}

int
top_run(const char *path, json_t *filters, unsigned seconds, bool json)
{
	bool terminal = !json && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
	struct top *top = calloc(1, sizeof *top);
	int status;

	if (top == NULL)
		ask_fail(EXIT_REFUSED, "out of memory");
	top->path = path;
	top->filters = filters;
	if (terminal)
		terminal_prepare();
	status = pages(top, seconds, json, terminal);
	for (; top->count > 0; top->count--)
		json_decref(top->rows[top->count - 1].session);
	json_decref(top->status);
	json_decref(top->totals);
	free(top);
	return status;
}
