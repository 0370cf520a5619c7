#include "sessiond/jid.h"

#include <bsd/string.h>
#include <stdio.h>
#include <string.h>
#include <stringprep.h>

/*
 * Plain ASCII needs no tables: all three profiles leave what is printable as it is, two of them in lower case. False:
 * libidn has to look at it. `special` is left to libidn too.
 */
static bool
prepare_ascii(char part_r[JID_PART_SIZE], const char *text, const char *special, bool fold)
{
	size_t i;

	for (i = 0; i < JID_PART_SIZE - 1 && text[i] != '\0'; i++) {
		char c = text[i];

		if (c < ' ' || c > '~' || strchr(special, c) != NULL)
			return false;
		part_r[i] = fold && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	part_r[i] = '\0';
	return i > 0 && text[i] == '\0';
}

static bool
prepare(char part_r[JID_PART_SIZE], const char *text, const Stringprep_profile *profile)
{
	if (strlcpy(part_r, text, JID_PART_SIZE) >= JID_PART_SIZE)
		return false;
	return stringprep(part_r, JID_PART_SIZE, 0, profile) == STRINGPREP_OK && part_r[0] != '\0';
}

bool
jid_prepare_local(char local_r[JID_PART_SIZE], const char *text)
{
	return prepare_ascii(local_r, text, " \"&'/:<>@", true) || prepare(local_r, text, stringprep_xmpp_nodeprep);
}

bool
jid_prepare_resource(char resource_r[JID_PART_SIZE], const char *text)
{
	return prepare_ascii(resource_r, text, "", false) || prepare(resource_r, text, stringprep_xmpp_resourceprep);
}

/* Nameprep lets more through than a host name may hold, so what would read as another part of an address is refused. */
bool
jid_prepare_domain(char domain_r[JID_PART_SIZE], const char *text)
{
	size_t length;

	if (!prepare_ascii(domain_r, text, "@/ '\"<>&", true) && !prepare(domain_r, text, stringprep_nameprep))
		return false;
	if (strpbrk(domain_r, "@/ '\"<>&") != NULL)
		return false;
	/* RFC 6122 2.2: the final dot of a fully qualified name is not part of it. */
	length = strlen(domain_r);
	if (domain_r[length - 1] == '.')
		domain_r[length - 1] = '\0';
	return domain_r[0] != '\0' && domain_r[0] != '.';
}

static bool
part_copy(char part_r[JID_PART_SIZE], const char *from, size_t length)
{
	if (length >= JID_PART_SIZE)
		return false;
	memcpy(part_r, from, length);
	part_r[length] = '\0';
	return true;
}

/* RFC 6122 2.1: the first slash ends the domain, whatever follows; the first @ before it ends the local part. */
bool
jid_parse(struct jid *jid_r, const char *text)
{
	size_t bare = strcspn(text, "/");
	const char *at = memchr(text, '@', bare);
	const char *domain = at == NULL ? text : at + 1;
	char part[JID_PART_SIZE];

	jid_r->local[0] = jid_r->resource[0] = '\0';
	if (at != NULL &&
	    (!part_copy(part, text, (size_t)(at - text)) || !jid_prepare_local(jid_r->local, part)))
		return false;
	if (!part_copy(part, domain, bare - (size_t)(domain - text)) || !jid_prepare_domain(jid_r->domain, part))
		return false;
	return text[bare] == '\0' || jid_prepare_resource(jid_r->resource, text + bare + 1);
}

void
jid_write_bare(const struct jid *jid, char bare_r[JID_SIZE])
{
	snprintf(bare_r, JID_SIZE, "%s%s%s", jid->local, jid->local[0] == '\0' ? "" : "@", jid->domain);
}

void
jid_write_full(const struct jid *jid, char full_r[JID_SIZE])
{
	jid_write_bare(jid, full_r);
	if (jid->resource[0] == '\0')
		return;
	strlcat(full_r, "/", JID_SIZE);
	strlcat(full_r, jid->resource, JID_SIZE);
}
