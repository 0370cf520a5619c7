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
