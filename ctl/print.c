#include "ctl/print.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/balance.h"

static unsigned long printed;

static long long
number_of(const json_t *object, const char *name)
{
	return (long long)json_integer_value(json_object_get(object, name));
}

static const char *
string_of(const json_t *object, const char *name)
{
	const char *string = json_string_value(json_object_get(object, name));

	return string != NULL ? string : "-";
}

const char *
print_size(long long number, char *text)
{
	static const char units[] = "KMGTPE";
	double value = (double)number;
	int unit = -1;

	while (value >= 999.5 && unit < (int)sizeof units - 2) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text, 16, "%lld", number);
	else
		snprintf(text, 16, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return text;
}

/* How many bytes of UTF-8 at `text` are one character that may do anything but be seen; 0: it is an ordinary one. */
static size_t
is_control(const unsigned char *text)
{
	if (text[0] < 0x20 || text[0] == 0x7f)
		return 1;
	if (text[0] == 0xc2 && text[1] >= 0x80 && text[1] < 0xa0)
		return 2;
	/* U+200B to 200F, 2028 to 202E, 2066 to 2069 */
	if (text[0] != 0xe2)
		return 0;
	if (text[1] == 0x80 && ((text[2] >= 0x8b && text[2] <= 0x8f) || (text[2] >= 0xa8 && text[2] <= 0xae)))
		return 3;
	return text[1] == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9 ? 3 : 0;
}

void
print_text(const char *text, int width)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at != '\0') {
		size_t control = is_control(at);

		if (control > 0) {
			putchar('?');
			at += control;
		} else {
			putchar(*at++);
		}
		/* The bytes of one character count as one. */
		width -= (*at & 0xc0) != 0x80;
	}
	for (; width > 0; width--)
		putchar(' ');
}

static void
print_packets(const char *name, const json_t *packets)
{
	static const char *const columns[] = { "in", "settled", "bounced", "consumed", "dropped", "held", "up" };

	printf("%-10s", name);
	for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
		printf(" %10lld", number_of(packets, columns[i]));
	printf("%s\n", balance_holds("packets", packets) ? "" : "  NOT BALANCED");
}

static void
print_worker(const json_t *worker)
{
	if (printed == 0)
		printf("%-10s %8s %-9s %8s %8s %7s %14s %14s\n", "worker", "pid", "state", "clients", "sessions", "starts",
		    "bytes in", "bytes out");
	printf("%-10lld %8lld %-9s %8lld %8lld %7lld %14lld %14lld%s\n", number_of(worker, "number"),
	    number_of(worker, "pid"), string_of(worker, "state"), number_of(worker, "clients"), number_of(worker, "sessions"),
	    number_of(worker, "starts"), number_of(worker, "bytes_in"), number_of(worker, "bytes_out"),
	    json_is_true(json_object_get(worker, "full")) ? "  full" : "");
	printed++;
}

static void
print_workers(const json_t *workers)
{
	const json_t *worker;
	size_t i;

	putchar('\n');
	json_array_foreach(workers, i, worker)
		print_worker(worker);
	printf("\n%-10s %10s %10s %10s %10s %10s %10s %10s\n", "packets", "in", "settled", "bounced", "consumed", "dropped",
	    "held", "to link");
	json_array_foreach(workers, i, worker) {
		char name[32];

		snprintf(name, sizeof name, "worker %lld", number_of(worker, "number"));
		print_packets(name, json_object_get(worker, "packets"));
	}
}

/* Who was not let in, by reason: "refused 12 (denied 3, rate 9)". */
static void
print_admission(const json_t *admission)
{
	const char *reason, *separator = " (";
	long long total = 0;
	const json_t *count;
	json_t *refused = json_object_get(admission, "refused");

	json_object_foreach(refused, reason, count)
		total += (long long)json_integer_value(count);
	printf("admission  %lld let in, %lld refused", number_of(admission, "granted"), total);
	json_object_foreach(refused, reason, count) {
		if (json_integer_value(count) == 0)
			continue;
		printf("%s%s %lld", separator, reason, (long long)json_integer_value(count));
		separator = ", ";
	}
	printf("%s, %lld crowded out, %lld delays, %lld without login\n", total > 0 ? ")" : "",
	    number_of(admission, "crowded"), number_of(admission, "delayed"), number_of(admission, "waiting"));
}

/* One line for each kind, none where there was nothing. */
static void
print_ended(const json_t *ended)
{
	static const struct {
		const char *name, *title;
	} kinds[] = { { "reasons", "ended" }, { "errors", "errors" }, { "limits", "limits" } };
	const json_t *count;
	const char *name;

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		const char *before = "";
		json_t *counts = json_object_get(ended, kinds[i].name);

		if (json_object_size(counts) == 0)
			continue;
		printf("%-10s ", kinds[i].title);
		json_object_foreach(counts, name, count) {
			printf("%s%s %lld", before, name, (long long)json_integer_value(count));
			before = ", ";
		}
		putchar('\n');
	}
}

static void
print_certificate(const json_t *certificate)
{
	const json_t *text;
	const char *until = string_of(certificate, "not_after");
	size_t i;

	printf("certificate ");
	print_text(string_of(certificate, "file"), 0);
	printf(" until %.10s, %lld days", until, number_of(certificate, "days_left"));
	json_array_foreach(json_object_get(certificate, "names"), i, text) {
		printf(i == 0 ? ": " : ", ");
		print_text(json_string_value(text), 0);
	}
	json_array_foreach(json_object_get(certificate, "doubts"), i, text)
		printf("  %s", json_string_value(text));
	putchar('\n');
	if (json_is_string(json_object_get(certificate, "kept"))) {
		printf("  not renewed: ");
		print_text(string_of(certificate, "kept"), 0);
		putchar('\n');
	}
}

static void
print_certificates(const json_t *certificates)
{
	const json_t *certificate;
	size_t i;

	json_array_foreach(certificates, i, certificate)
		print_certificate(certificate);
}

static void
print_up(const json_t *up)
{
	printf("to link    in %lld, acknowledged %lld, waiting %lld, lost %lld, again %lld%s\n", number_of(up, "in"),
	    number_of(up, "acknowledged"), number_of(up, "waiting"), number_of(up, "lost"), number_of(up, "again"),
	    balance_holds("up", up) ? "" : "  NOT BALANCED");
}

static void
print_status(const json_t *status)
{
	const json_t *link = json_object_get(status, "link");
	const char *state = string_of(link, "state");

	printf("link       %s, %s", string_of(link, "name"), state);
	if (strcmp(state, "up") == 0)
		printf(" for %lld s", number_of(link, "up_seconds"));
	printf(" (%s), dialect %s, %lld bytes queued", string_of(link, "type"), string_of(link, "dialect"),
	    number_of(link, "queued_bytes"));
	if (json_is_true(json_object_get(link, "acknowledged")) || number_of(link, "unacknowledged") > 0)
		printf(", %lld packets not acknowledged", number_of(link, "unacknowledged"));
	printf("\n");
	printf("clients    %lld, sessions %lld, bytes in %lld, out %lld\n", number_of(status, "clients"),
	    number_of(status, "sessions"), number_of(status, "bytes_in"), number_of(status, "bytes_out"));
	print_admission(json_object_get(status, "admission"));
	printf("throttled  %lld, %lld times since the workers were started\n", number_of(status, "throttled"),
	    number_of(status, "throttles"));
	print_ended(json_object_get(status, "ended"));
	printf("tls        %lld handshakes, %lld resumed, %lld failed\n", number_of(status, "handshakes"),
	    number_of(status, "resumed"), number_of(status, "handshakes_failed"));
	print_certificates(json_object_get(status, "certificates"));
	print_workers(json_object_get(status, "workers"));
	print_packets("all", json_object_get(status, "packets"));
	print_up(json_object_get(status, "up"));
}

static void
print_since(const json_t *session)
{
	time_t since = (time_t)number_of(session, "since");
	struct tm parts;
	char text[32];

	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", localtime_r(&since, &parts));
	printf(" %-19s", text);
}

static void
print_session(const json_t *session)
{
	char address[64], sizes[3][16];

	if (printed == 0)
		printf("%-32s %-32s %-21s %6s %-19s %6s %6s %6s %8s %8s %6s %-9s %-7s %s\n", "id", "account", "address", "worker",
		    "since", "idle", "in", "out", "pkts in", "pkts out", "unsent", "state", "tls", "throttled");
	print_text(string_of(session, "id"), 32);
	putchar(' ');
	print_text(string_of(session, "account"), 32);
	snprintf(address, sizeof address, strchr(string_of(session, "address"), ':') != NULL ? "[%s]:%lld" : "%s:%lld",
	    string_of(session, "address"), number_of(session, "port"));
	printf(" %-21s %6lld", address, number_of(session, "worker"));
	print_since(session);
	printf(" %6lld %6s %6s %8lld %8lld %6s %-9s %-7s %s\n", number_of(session, "idle"),
	    print_size(number_of(session, "bytes_in"), sizes[0]), print_size(number_of(session, "bytes_out"), sizes[1]),
	    number_of(session, "packets_in"), number_of(session, "packets_out"),
	    print_size(number_of(session, "unsent"), sizes[2]), string_of(session, "state"), string_of(session, "tls"),
	    json_is_true(json_object_get(session, "throttled")) ? "yes" : "no");
}

/* First who is traced, then what goes by, then why it is over. */
static void
print_trace(const json_t *object)
{
	const char *when = string_of(object, "time"), *ended = json_string_value(json_object_get(object, "ended"));
	long long lost = number_of(object, "lost");

	if (lost > 0)
		printf("(%lld not shown)\n", lost);
	if (ended != NULL) {
		printf("the end: %s\n", strcmp(ended, "client") == 0 ? "the client is gone" :
		    strcmp(ended, "size") == 0 ? "that was too much" : "that was the time");
	} else if (json_object_get(object, "text") == NULL) {
		printf("%s ", string_of(object, "id"));
		print_text(string_of(object, "account"), 0);
		printf(" for %lld seconds\n", number_of(object, "seconds"));
	} else {
		printf("%.12s %s %s ", strlen(when) > 11 ? when + 11 : when, string_of(object, "id"),
		    strcmp(string_of(object, "direction"), "up") == 0 ? "from" : "to  ");
		print_text(string_of(object, "text"), 0);
		printf(json_is_true(json_object_get(object, "cut")) ? " ... (%lld bytes)\n" : "\n", number_of(object, "length"));
	}
}

static void
print_name(const json_t *object)
{
	print_text(string_of(object, "name"), 0);
	putchar('\n');
}

static void
print_line(const json_t *object)
{
	print_text(string_of(object, "line"), 0);
	putchar('\n');
}

static void
print_level(const json_t *object)
{
	puts(string_of(object, "level"));
}

static void
print_xml(const json_t *object)
{
	fputs(string_of(object, "xml"), stdout);
}

void
print_object(const char *command, const json_t *object)
{
	static const struct {
		const char *command;
		void (*print)(const json_t *object);
	} printers[] = {
		{ "status", print_status }, { "workers", print_worker }, { "sessions", print_session }, { "trace", print_trace },
		{ "user", print_name }, { "reload", print_line }, { "loglevel", print_level }, { "config", print_xml },
	};

	for (size_t i = 0; i < sizeof printers / sizeof printers[0]; i++) {
		if (strcmp(printers[i].command, command) == 0)
			printers[i].print(object);
	}
	printed++;
}

void
print_finish(const char *command)
{
	if (strcmp(command, "sessions") == 0 && printed == 0)
		puts("no clients");
}
