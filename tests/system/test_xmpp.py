#!/usr/bin/env python3
"""The dialect xmpp: clients of a session manager that speaks today's XMPP, step by step (doc/link.md, "xmpp")."""
import harness
from harness import DaemonCase
from scripted import BIND, FRAMING, SASL, Conversation
from xmlstream import STREAM_ERRORS

HEADER = """
    client: <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>
    up: <open xmlns='{framing}' sto='localhost' sfrom='{me}' to='localhost' version='1.0'><_/></open>
    down: <open xmlns='{framing}' sto='{me}' sfrom='localhost' from='localhost' id='S1' version='1.0'/>
"""
LOGIN = """
    down: <stream:features sto='{me}' sfrom='localhost'><mechanisms xmlns='{sasl}'><mechanism>PLAIN</mechanism></mechanisms></stream:features>
    features:
    client: <auth xmlns='{sasl}' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>
    up: <auth xmlns='{sasl}' sto='localhost' sfrom='{me}' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>
    down: <success xmlns='{sasl}' sto='{me}' sfrom='localhost'/>
    gets: <success xmlns='{sasl}'/>
    open:
    up: <open xmlns='{framing}' sto='localhost' sfrom='{me}' to='localhost' version='1.0'/>
    down: <open xmlns='{framing}' sto='{me}' sfrom='localhost' from='localhost' id='S2' version='1.0'/>
    down: <stream:features sto='{me}' sfrom='localhost'><bind xmlns='{bind}'/></stream:features>
    features:
    client: <iq type='set' id='b'><bind xmlns='{bind}'><resource>home</resource></bind></iq>
    up: <iq sto='localhost' sfrom='{me}' type='set' id='b'><bind xmlns='{bind}'><resource>home</resource></bind></iq>
    down: <iq sto='{me}' sfrom='alice@localhost/home' type='result' id='b'><bind xmlns='{bind}'><jid>alice@localhost/home</jid></bind></iq>
    gets: <iq type='result' id='b'><bind xmlns='{bind}'><jid>alice@localhost/home</jid></bind></iq>
"""


class Talk(Conversation):
    """Namespaces have short names."""
    NAMES = dict(framing=FRAMING, sasl=SASL, bind=BIND, errors=STREAM_ERRORS)

    def play(self, text):
        for name, namespace in self.NAMES.items():
            text = text.replace('{%s}' % name, namespace)
        return super().play(text)


class XmppCase(DaemonCase):
    def begin(self, **arguments):
        self.sm = self.manager(dialect='xmpp')
        self.daemon = self.start_with(self.sm, **arguments)

    def conversation(self, client=None):
        return Talk(self.sm, client or self.daemon.client())

    def open(self, text=HEADER):
        """A client whose header was sent by hand."""
        return self.conversation().play(text)

    def login(self):
        return self.open(HEADER + LOGIN)


class Session(XmppCase):
    def test_login_and_session(self):
        self.begin()
        talk = self.open(HEADER + LOGIN)
        self.assertEqual(talk.client.stream.header.get('id'), 'S2')
        talk.play("""
            client: <presence/>
            up: <presence sto='alice@localhost/home' sfrom='{me}'/>
            down: <message sto='{me}' sfrom='alice@localhost' from='bob@x' to='alice@localhost/home'><body>hello</body></message>
            gets: <message from='bob@x' to='alice@localhost/home'><body>hello</body></message>
            client: </stream:stream>
            closed:
            up: <close sto='alice@localhost/home' sfrom='{me}' xmlns='{framing}'/>
        """)


class Ends(XmppCase):
    def setUp(self):
        self.begin()

    ERRORS = ("<see-other-host xmlns='{errors}'>[2001:db8::1]:5222</see-other-host>",
              "<host-unknown xmlns='{errors}'/><text xmlns='{errors}' xml:lang='de'>nicht hier</text>",
              "<policy-violation xmlns='{errors}'/><too-tired xmlns='urn:example:why'/>")

    def test_stream_errors_pass_whole(self):
        """Before the client's header is answered, behind it, in a session."""
        header = HEADER[:HEADER.index('    down:')]
        for beginning, sender in ((header, 'localhost'), (HEADER, 'localhost'), (HEADER + LOGIN, 'alice@localhost/home')):
            for error in self.ERRORS:
                talk = self.open(beginning).play("""
                    down: <stream:error sto='{me}' sfrom='%s'>%s</stream:error><close xmlns='{framing}' sto='{me}' sfrom='%s'/>
                    gets: <stream:error>%s</stream:error>
                    closed:
                """ % (sender, error, sender, error))
                self.assertEqual('localhost', talk.client.stream.header.get('from'))
        # Neither end is answered: the next that comes is of the next client.
        self.open()

    def test_close(self):
        for beginning, sender in ((HEADER, 'localhost'), (HEADER + LOGIN, 'alice@localhost/home')):
            self.open(beginning).play("""
                down: <close xmlns='{framing}' sto='{me}' sfrom='%s'/>
                closed:
            """ % sender)
        self.open()

    def test_client_says_goodbye_before_login(self):
        self.open().play("""
            client: </stream:stream>
            closed:
            up: <close sto='localhost' sfrom='{me}' xmlns='{framing}'/>
        """)

    def test_client_says_goodbye_before_the_answer(self):
        """Its stream is ended in good order, before ours has begun."""
        self.open(HEADER[:HEADER.index('    down:')]).play("""
            client: </stream:stream>
            closed:
            up: <close sto='localhost' sfrom='{me}' xmlns='{framing}'/>
        """)

    def test_client_is_lost_before_login(self):
        talk = self.open()
        talk.client.reset()
        talk.play("up: <message sto='localhost' sfrom='{me}' type='error'><error code='510'>Disconnected</error></message>")

    def test_link_is_lost(self):
        opened, session = self.open(), self.login()
        self.sm.drop()
        opened.client.expect_stream_error('remote-connection-failed')
        self.sm.up()
        opened.play("up: <message sto='localhost' sfrom='{me}' type='error'><error code='510'>Disconnected</error></message>")
        # Its session is over as well (link.md): nothing is said of it on the link, and its id is nobody's.
        session.client.expect_stream_error('remote-connection-failed')
        session.play("""
            down: <message id='late' sto='{me}' sfrom='alice@localhost'/>
            up: <message id='late' sto='alice@localhost' sfrom='{me}' type='error'><error code='510'>Disconnected</error></message>
        """)


class Rude(XmppCase):
    def setUp(self):
        self.begin()

    CONNECTION = "<connection xmlns='urn:x-c2sd:connection:0' ip='127.0.0.1'>%s</connection>"
    BINDING = "<channel-binding xmlns='urn:x-c2sd:connection:0' type='tls-exporter'>AAAA</channel-binding>"

    def test_what_a_client_must_not_say(self):
        forged = (self.CONNECTION % self.BINDING, self.BINDING, "<open xmlns='%s' to='localhost'/>" % FRAMING,
                  "<open xmlns='%s'>%s</open>" % (FRAMING, self.CONNECTION % ''), "<close xmlns='%s'/>" % FRAMING,
                  "<iq xmlns='urn:x-c2sd:admin:0' type='set'/>", "<x:connection xmlns:x='urn:x-c2sd:connection:0'/>")
        for beginning, end in ((HEADER, 'localhost'), (HEADER + LOGIN, 'alice@localhost/home')):
            for text in forged:
                talk = self.open(beginning)
                talk.client.send(text)
                talk.client.expect_stream_error('policy-violation')
                talk.client.close()
                talk.play("up: <message sto='%s' sfrom='{me}' type='error'><error code='510'>Disconnected</error></message>" % end)

    def test_in_a_stanza_it_is_payload(self):
        """Nobody looks for it there."""
        self.login().play("""
            client: <message to='b@c' sto='x' sfrom='y'>%s</message>
            up: <message sto='alice@localhost/home' sfrom='{me}' to='b@c'>%s</message>
        """ % ((self.CONNECTION % self.BINDING,) * 2))

    def test_everything_at_once(self):
        """A client that waits for nothing; its session manager hears one thing at a time."""
        talk = self.conversation()
        header = HEADER.strip().split('\n')[0].strip().partition(': ')[2]
        talk.play(("client: %s<auth xmlns='{sasl}' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>%s"
                   "<iq type='set' id='b'><bind xmlns='{bind}'/></iq><presence/><message to='x@y'/>") % (header, header))
        talk.play("""
            up: <open xmlns='{framing}' sto='localhost' sfrom='{me}' to='localhost' version='1.0'><_/></open>
            up: <auth xmlns='{sasl}' sto='localhost' sfrom='{me}' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>
            down: <open xmlns='{framing}' sto='{me}' sfrom='localhost' id='S1'/><success xmlns='{sasl}' sto='{me}' sfrom='localhost'/>
            up: <open xmlns='{framing}' sto='localhost' sfrom='{me}' to='localhost' version='1.0'/>
            up: <iq sto='localhost' sfrom='{me}' type='set' id='b'><bind xmlns='{bind}'/></iq>
            down: <open xmlns='{framing}' sto='{me}' sfrom='localhost' id='S2'/><iq sto='{me}' sfrom='alice@localhost/r' type='result' id='b'/>
            up: <presence sto='alice@localhost/r' sfrom='{me}'/>
            up: <message sto='alice@localhost/r' sfrom='{me}' to='x@y'/>
        """)

    def test_what_reaches_nobody(self):
        gone = 'sto=\'%s\'' % self.login().names['me'].replace('.', '.9', 1)
        for stanza in ("<message %s sfrom='a@localhost'/>", "<iq type='get' id='1' %s sfrom='a@localhost'/>",
                       "<presence %s sfrom='a@localhost'/>"):
            self.sm.send("<stream:features %s sfrom='localhost'/><success xmlns='%s' %s sfrom='localhost'/>"
                         "<close xmlns='%s' %s/>" % (gone, SASL, gone, FRAMING, gone))
            self.sm.send(stanza % gone)
            self.assertTrue(self.sm.expect().has_510())


class Starttls(XmppCase):
    def begin(self, **arguments):
        super().begin(tls='starttls', tls_options={'required': 'no'}, **arguments)

    def test_another_id(self):
        self.begin()
        talk = self.open()
        client, before = talk.client, talk.names['me']
        talk.play("down: <stream:features sto='{me}' sfrom='localhost'><mechanisms xmlns='{sasl}'/></stream:features>\nfeatures:")
        self.assertIsNotNone(client.features.child('starttls', harness.TLS))
        client.send("<starttls xmlns='%s'/>" % harness.TLS)
        client.expect('proceed')
        talk.play("up: <close sto='localhost' sfrom='{me}' xmlns='{framing}'/>")
        client.secure()
        talk.names.clear()
        talk.play(HEADER)
        self.assertNotEqual(talk.names['me'], before)
        # What comes for the old id is nobody's: a stanza goes back, the stream's own business does not.
        self.sm.send("<message sto='%s' sfrom='a@localhost'><body>late</body></message>"
                     "<stream:features sto='%s' sfrom='localhost'/>" % (before, before))
        self.assertTrue(self.sm.expect('message').has_510())
        talk.play(LOGIN)
        talk.client.leave()
        talk.play("up: <close sto='alice@localhost/home' sfrom='{me}' xmlns='{framing}'/>")


if __name__ == '__main__':
    harness.main()
