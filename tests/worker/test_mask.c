/* mask: what is shown and what is not, row by row; every cut of it. */
#include <string.h>

#include "tests/dialect/tap.h"
#include "worker/mask.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct row {
	const char *text, *shown;	/* NULL: all of it */
	bool cut;
} rows[] = {
	{ "", NULL, false },
	{ " ", NULL, false },
	{ "<presence/>", NULL, false },
	{ "<message to='a@b' id='password'><body>my password is token</body></message>", NULL, false },
	{ "<?xml version='1.0'?><stream:stream id='1' from='a' version='1.0'><stream:features><auth xmlns='x'/>"
	    "</stream:features>", NULL, false },
	{ "</stream:stream>", NULL, false },
	/* XEP-0077, XEP-0078 and what came before them */
	{ "<iq type='set'><query xmlns='jabber:iq:auth'><username>alice</username><password>pw</password>"
	    "<resource>r</resource></query></iq>",
	    "<iq type='set'><query xmlns='jabber:iq:auth'><username>alice</username><password>***</password>"
	    "<resource>r</resource></query></iq>", false },
	{ "<query><digest>48fc78be9ec8f86d8ce1c39c320c97c21d62334d</digest></query>", "<query><digest>***</digest></query>",
	    false },
	{ "<query><hash>1</hash><sequence>2</sequence><token>3</token><key>4</key></query>",
	    "<query><hash>***</hash><sequence>***</sequence><token>***</token><key>***</key></query>", false },
	{ "<query><password/><digest></digest></query>", "<query><password/><digest>***</digest></query>", false },
	/* RFC 6120 6, XEP-0388, XEP-0484 */
	{ "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHB3</auth>",
	    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>***</auth>", false },
	{ "<challenge>a</challenge><response>b</response><success>c</success>",
	    "<challenge>***</challenge><response>***</response><success>***</success>", false },
	{ "<authenticate mechanism='X'><initial-response>QQ==</initial-response><user-agent id='u'/></authenticate>",
	    "<authenticate mechanism='X'><initial-response>***</initial-response><user-agent id='u'/></authenticate>", false },
	{ "<token xmlns='urn:xmpp:fast:0' expiry='1' token='abc'/>", "<token xmlns='urn:xmpp:fast:0' expiry='***' token='***'/>",
	    false },
	{ "<auth xmlns='x' mechanism='PLAIN'/><response xmlns='x'>AGFsaWNlAHB3</response>",
	    "<auth xmlns='x' mechanism='PLAIN'/><response xmlns='x'>***</response>", false },
	{ "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGFs</initial-response></authenticate>",
	    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>***</initial-response></authenticate>",
	    false },
	{ "<success xmlns='urn:xmpp:sasl:2'><additional-data>dj0=</additional-data></success>",
	    "<success xmlns='urn:xmpp:sasl:2'>***</success>", false },
	/* XEP-0440: which there are is no secret, what they are is */
	{ "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>", NULL,
	    false },
	{ "<open xmlns='x'><connection xmlns='y' ip='192.0.2.7' port='1'>"
	    "<channel-binding type='tls-exporter'>QQ==</channel-binding><certificate>QQ==</certificate></connection></open>",
	    "<open xmlns='x'><connection xmlns='y' ip='***' port='***'>***</connection></open>", false },
	{ "<channel-binding type='tls-exporter'>QQ==</channel-binding><certificate>QQ==</certificate>",
	    "<channel-binding type='tls-exporter'>***</channel-binding><certificate>***</certificate>", false },
	/* XEP-0363 */
	{ "<put url='u'><header name='Authorization'>Basic QQ==</header></put>",
	    "<put url='u'><header name='***'>***</header></put>", false },
	/* XEP-0004 */
	{ "<field var='password' type='text-private'><value>pw</value></field><field var='nick'><value>n</value></field>",
	    "<field var='***' type='text-private'>***</field><field var='nick'><value>n</value></field>", false },
	{ "<field type='text-private' var='x'><value>pw</value></field>", "<field type='text-private' var='***'>***</field>",
	    false },
	{ "<field var='MUC#roomconfig_roomsecret'><value>pw</value></field>", "<field var='***'>***</field>", false },
	{ "<field var='p&#97;ssword'><value>pw</value></field>", "<field var='***'>***</field>", false },
	/* however it is written */
	{ "<a:password xmlns:a='jabber:iq:auth'>pw</a:password>", "<a:password xmlns:a='jabber:iq:auth'>***</a:password>", false },
	{ "<PassWord >pw</PassWord >", "<PassWord >***</PassWord >", false },
	{ "<password\n>pw</password\t>", "<password\n>***</password\t>", false },
	{ "<password><![CDATA[p</password>w]]></password>", "<password>***</password>", false },
	{ "<password>p<b/>w<i>x<i>y</i></i>z</password>t", "<password>***</password>t", false },
	{ "<password>p<password>w</password>x</password>", "<password>***</password>", false },
	{ "<password>p<!-- </password> -->w</password>", "<password>***</password>", false },
	{ "<password>p<?x </password>?>w</password>", "<password>***</password>", false },
	{ "<password a='>'>pw</password>", "<password a='***'>***</password>", false },
	{ "<x a='<password>'/>", NULL, false },
	{ "<x a=\"'>\" password = 'p>w'>y</x>", "<x a=\"'>\" password = '***'>y</x>", false },
	{ "<x a:password='pw' xmlns:password='urn:x'/>", "<x a:password='***' xmlns:password='urn:x'/>", false },
	{ "<a><![CDATA[<b>]]></a>", NULL, false },
	{ "<a>x<!-- pw -->y</a>", "<a>xy</a>", false },
	/* what nobody can read is not shown */
	{ "<a>x</a><password", "<a>x</a>", true },
	{ "<password>pw", "<password>***", false },
	{ "<password>pw</x>more<y>", "<password>***", false },
	{ "<a x='1' password=pw>", "<a x='1' ", true },
	{ "<a x password='pw'>", "<a ", true },
	{ "<a>b<![CDATA[pw", "<a>b", true },
	{ "<a>b<!-- pw", "<a>b", true },
	{ "<!DOCTYPE a [<!ENTITY b 'pw'>]><a>&b;</a>", "", true },
};

START_TEST(row_by_row)
{
	const struct row *row = &rows[_i];
	const char *shown = row->shown == NULL ? row->text : row->shown;
	struct buffer out = { 0 };
	bool cut = mask_append(&out, row->text, strlen(row->text), 1000);

	buffer_append(&out, "", 1);
	ck_assert_str_eq((const char *)buffer_bytes(&out), shown);
	ck_assert(cut == row->cut);
	buffer_deinit(&out);
}
END_TEST

/* Whatever there is room for: the front of what is shown with enough of it. */
START_TEST(row_in_little_room)
{
	const struct row *row = &rows[_i];
	const char *shown = row->shown == NULL ? row->text : row->shown;
	struct buffer out = { 0 };

	for (size_t room = 0; room < strlen(shown); room++) {
		buffer_clear(&out);
		ck_assert(mask_append(&out, row->text, strlen(row->text), room));
		ck_assert_uint_eq(buffer_length(&out), room);
		if (room > 0)
			ck_assert_mem_eq(buffer_bytes(&out), shown, room);
	}
	buffer_deinit(&out);
}
END_TEST

START_TEST(characters_stay_whole)
{
	static const char text[] = "<b>\xc3\xa4\xe2\x82\xac</b>";
	static const size_t lengths[] = { 0, 1, 2, 3, 3, 5, 5, 5, 8, 9, 10, 11, 12 };
	struct buffer out = { 0 };

	for (size_t room = 0; room < COUNT(lengths); room++) {
		buffer_clear(&out);
		ck_assert(mask_append(&out, text, strlen(text), room) == (room < strlen(text)));
		ck_assert_uint_eq(buffer_length(&out), lengths[room]);
	}
	buffer_deinit(&out);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mask");
	TCase *tests = tcase_create("mask");

	tcase_add_loop_test(tests, row_by_row, 0, COUNT(rows));
	tcase_add_loop_test(tests, row_in_little_room, 0, COUNT(rows));
	tcase_add_test(tests, characters_stay_whole);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
