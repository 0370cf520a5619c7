#include "ctl/cert.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/document.h"
#include "common/privilege.h"
#include "ctl/ask.h"
#include "ctl/place.h"
#include "ctl/print.h"
#include "ctl/selfsigned.h"

#define BLANKS " \t\r\n"
#define CONFIGURATION C2SD_SYSCONFDIR "/c2sd.xml"
#define KEY_MODE_SHARED 0640	/* doc/design.md, "Privilege": a reload is not root any more, and reads by the group */
#define KEY_MODE_OWN 0600
#define CHAIN_MODE 0644

/* What the certificate is for, and who is to read its key. */
struct subject {
	char **hosts;
	size_t count;
	char *user, *group;	/* as the configuration says; NULL: it does not */
};

/* ---- hosts and user ---- */

static void *
check(void *memory)
{
	if (memory == NULL)
		ask_fail(EXIT_REFUSED, "out of memory");
	return memory;
}

static void __attribute__((noreturn))
refuse_host(const char *host)
{
	char *shown = check(strdup(host));

	for (char *byte = shown; *byte != '\0'; byte++) {
		if ((unsigned char)*byte < ' ' || *byte == '\177')
			*byte = '?';
	}
	ask_fail(EXIT_USAGE, "%s: not the name of a host", shown);
}

static void
subject_add(struct subject *subject, const char *host)
{
	char *name = selfsigned_host(host);

	if (name == NULL)
		refuse_host(host);
	for (size_t i = 0; i < subject->count; i++) {
		if (strcmp(subject->hosts[i], name) == 0) {
			free(name);
			return;
		}
	}
	subject->hosts = check(reallocarray(subject->hosts, subject->count + 1, sizeof *subject->hosts));
	subject->hosts[subject->count++] = name;
}

static void
subject_add_node(struct subject *subject, const xmlNode *node)
{
	char *text = check(xmlNodeGetContent(node)), *host = text + strspn(text, BLANKS), *end = host + strlen(host);

	while (end > host && strchr(BLANKS, end[-1]) != NULL)
		*--end = '\0';
	subject_add(subject, host);
	xmlFree(text);
}

static bool
node_is(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

/* No more than this is looked at: whether the rest is right is asked by `c2sd -t`, once the certificate is there. */
static void
subject_read(struct subject *subject, const char *file, bool hosts)
{
	struct document document;
	const xmlNode *root;

	if (document_read(&document, file) < 0)
		ask_fail(EXIT_REFUSED, "out of memory");
	if (document.tree == NULL && document.line > 0)
		ask_fail(EXIT_REFUSED, "%s:%d: %s", file, document.line, document.error);
	if (document.tree == NULL)
		ask_fail(EXIT_REFUSED, "%s: %s", file, document.error);
	root = xmlDocGetRootElement(document.tree);
	if (root == NULL || !node_is(root, "c2sd"))
		ask_fail(EXIT_REFUSED, "%s: not a configuration of c2sd", file);
	for (const xmlNode *node = root->children; node != NULL; node = node->next) {
		if (hosts && node_is(node, "host"))
			subject_add_node(subject, node);
		if (node_is(node, "user")) {
			subject->user = (char *)xmlGetProp(node, (const xmlChar *)"name");
			subject->group = (char *)xmlGetProp(node, (const xmlChar *)"group");
		}
	}
	document_deinit(&document);
	if (subject->count == 0 && hosts)
		ask_fail(EXIT_REFUSED, "%s: there is no <host/>", file);
}

static void
subject_find(struct subject *subject, const struct cert_order *order)
{
	for (size_t i = 0; i < order->host_count; i++)
		subject_add(subject, order->hosts[i]);
	if (order->configuration != NULL || subject->count == 0)
		subject_read(subject, order->configuration != NULL ? order->configuration : CONFIGURATION, subject->count == 0);
}

static void
subject_free(struct subject *subject)
{
	for (size_t i = 0; i < subject->count; i++)
		free(subject->hosts[i]);
	free(subject->hosts);
	xmlFree(subject->user);
	xmlFree(subject->group);
}

/* Without root there is nobody to share it with: the service runs as who makes it. */
static gid_t
subject_group(const struct subject *subject)
{
	const char *user = subject->user != NULL ? subject->user : C2SD_USER;
	struct account_ids ids;

	if (geteuid() != 0)
		return PLACE_KEEP_GROUP;
	if (!privilege_find(&ids, user, subject->group))
		ask_fail(EXIT_REFUSED, "there is no user %s%s%s, who is to read the key", user,
		    subject->group != NULL ? " or no group " : "", subject->group != NULL ? subject->group : "");
	return ids.gid;
}

/* ---- what is said ---- */

static void
said_add(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) < 0)
		ask_fail(EXIT_REFUSED, "%s: not UTF-8, or out of memory", name);
}

static void
say_json(const struct subject *subject, const struct selfsigned *made, const char *chain, const char *key)
{
	json_t *object = json_object(), *hosts = json_array();
	char *line;

	for (size_t i = 0; i < subject->count; i++)
		json_array_append_new(hosts, json_string(subject->hosts[i]));
	said_add(object, "hosts", hosts);
	said_add(object, "chain", json_string(chain));
	said_add(object, "key", json_string(key));
	said_add(object, "sha256", json_string(made->print));
	said_add(object, "expires", json_string(made->expires));
	line = check(json_dumps(object, JSON_COMPACT));
	puts(line);
	free(line);
	json_decref(object);
}

static void
say_attribute(const char *name, const char *text)
{
	printf(" %s=\"", name);
	for (; *text != '\0'; text++) {
		if (*text == '&')
			fputs("&amp;", stdout);
		else if (*text == '<')
			fputs("&lt;", stdout);
		else if (*text == '"')
			fputs("&quot;", stdout);
		else
			putchar(*text);
	}
	putchar('"');
}

static void
say(const struct subject *subject, const struct selfsigned *made, const char *chain, const char *key)
{
	printf("self-signed certificate for");
	for (size_t i = 0; i < subject->count; i++)
		printf("%s %s", i == 0 ? "" : ",", subject->hosts[i]);
	printf(", until %s\nchain    %s\nkey      %s\nSHA-256  %s\n\nIn the configuration:\n  <certificate", made->expires, chain,
	    key, made->print);
	say_attribute("chain", chain);
	say_attribute("key", key);
	puts("/>");
}

/* ---- the command ---- */

/* The folder's full name: the configuration takes no other. */
static void
folder_find(char *folder_r, const char *folder)
{
	if (place_folder(folder) < 0 || realpath(folder, folder_r) == NULL)
		ask_fail(EXIT_REFUSED, "%s: %s", folder, strerror(errno));
	for (const char *byte = folder_r; *byte != '\0'; byte++) {
		if ((unsigned char)*byte < ' ')
			ask_fail(EXIT_USAGE, "that folder has control characters in its name");
	}
}

static void
path_make(char *path_r, const char *folder, const char *name)
{
	if (snprintf(path_r, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
		ask_fail(EXIT_REFUSED, "%s: %s", folder, strerror(ENAMETOOLONG));
}

static void
write_files(const struct selfsigned *made, const char *chain, const char *key, gid_t group, bool replace)
{
	struct place_file files[] = {
		{ .path = key, .text = made->key, .mode = group == PLACE_KEEP_GROUP ? KEY_MODE_OWN : KEY_MODE_SHARED,
		    .group = group },
		{ .path = chain, .text = made->chain, .mode = CHAIN_MODE, .group = PLACE_KEEP_GROUP },
	};
	const char *failed;

	if (place_files(files, sizeof files / sizeof files[0], replace, &failed) == 0)
		return;
	ask_fail(EXIT_REFUSED, "%s: %s%s", failed, strerror(errno),
	    errno == EEXIST ? "; --force replaces certificate and key" : "");
}

int
cert_run(const struct cert_order *order)
{
	struct subject subject = { .hosts = NULL };
	struct selfsigned made;
	char folder[PATH_MAX], chain[PATH_MAX], key[PATH_MAX];
	gid_t group;

	subject_find(&subject, order);
	group = subject_group(&subject);
	folder_find(folder, order->folder);
	path_make(chain, folder, "cert.pem");
	path_make(key, folder, "key.pem");
	if (selfsigned_make(&made, subject.hosts, subject.count, order->days) < 0)
		ask_fail(EXIT_REFUSED, "cannot make a certificate: the library failed");
	write_files(&made, chain, key, group, order->force);
	(order->json ? say_json : say)(&subject, &made, chain, key);
	selfsigned_free(&made);
	subject_free(&subject);
	return EXIT_OK;
}
