#!/usr/bin/env python3
"""Each dialect of the link, seen from session managers that are slow, silent, rude or gone at any place (scripted.py)."""
import os
import re
import socket

import harness
import scripted
from harness import DaemonCase, Peer
from scripted import fill, match
from xmlstream import STREAMS, parse

RECORDINGS = os.path.join(harness.SOURCE, '..', 'dialect', 'recordings')


def recording(name):
    """(line number, who, what) of each line; who is '##' for a remark."""
    found = []
    with open(os.path.join(RECORDINGS, name)) as file:
        for number, line in enumerate(file, 1):
            result = re.match(r'(##|SM->|<-JD|C2S->|->C2S|CLI\d+->|<-CLI\d+) (.*)', line)
            if result:
                found.append((number, *result.groups()))
            else:
                found[-1] = found[-1][:2] + (found[-1][2] + '\n' + line.rstrip('\n'),)
    return found


def elements(text):
    """The elements that stand one behind the other in this text."""
    return harness.XmlStream().feed(("<x xmlns:stream='%s'>%s" % (STREAMS, text)).encode())


class Servers(DaemonCase):
    """Do the session managers of these tests behave as the recorded ones do? A socket manager that says what was said to
    those must read what was answered."""

    def connect(self, server):
        peer = Peer(socket.create_connection(('127.0.0.1', server.sm.port)))
        self.addCleanup(peer.close)
        return peer

    def assert_quiet(self, peer, probe):
        """The answer to the probe is the next that comes."""
        peer.send(probe)
        found = peer.expect()
        self.assertIn('probe', repr(found))

    # What is made anew each time: addresses of sessions, keys, times.
    FRESH = r"(?<=localhost/)(?!deadbeef)(?:[0-9A-F]{8}|[0-9a-f]{8})\b|(?<=stamp=')[^']*"

    def replay(self, name, server, probe, deviations, start=1, end=None):
        server.service.echo = False
        server.listen()
        peer, names, missing = None, {}, dict(deviations)
        lines = recording(name)
        for number, who, text in lines:
            if number < start:
                continue
            if end and text.startswith(end):
                break
            pattern = re.sub(self.FRESH, lambda m: '{r%s}' % re.sub(r'\W', '_', m.group()), text)
            if missing.pop(number, None):
                if who == '<-JD' and text != '[EOF]':
                    for _ in elements(text) or '1':
                        peer.expect()
                continue
            try:
                if text.startswith('[EOF]'):
                    pass
                elif text.startswith('connect '):
                    peer = self.connect(server)
                elif who == 'SM->' and text.startswith('<handshake>'):
                    proof = scripted.sha1(peer.stream.header.get('id') + server.sm.secret)
                    wrong = (number + 1, '<-JD', '[EOF]') in lines
                    peer.send('<handshake>%s</handshake>' % ('x' if wrong else proof))
                elif who == 'SM->':
                    known = re.sub(r'\{(\w+)\}', lambda m: m.group() if m.group(1) in names else m.group(1)[1:], pattern)
                    peer.send(fill(known, names))
                elif text.startswith('<?xml'):
                    expected = re.search(r"xmlns='([^']*)'", text).group(1)
                    self.assertEqual(' from=' in text, 'from' in peer.expect_header().attributes)
                    self.assertEqual(expected, server.sm.namespace)
                elif text.startswith('[nothing'):
                    self.assert_quiet(peer, probe)
                elif who == '<-JD':
                    for one in elements(pattern):
                        if one.get('type') in ('session', 'result'):    # 1.2 gives an address again
                            for fresh in re.findall(r'\{(\w+)\}', one.get('from', '') + one.get('sfrom', '')):
                                if one.get('type') == 'session':
                                    names.pop(fresh, None)
                        found = peer.expect()
                        self.assertTrue(match(one, found, names), 'expected\n%s, got\n%r' % (one.write(), found))
            except AssertionError as error:
                raise AssertionError('line %d: %s' % (number, error)) from None
        self.assertEqual({}, missing)

    PROBE_ROUTE = ("<route type='auth' to='stranger@localhost' from='probe@c2s.localhost'><iq type='get' id='probe'>"
                   "<query xmlns='jabber:iq:auth'><username>stranger</username></query></iq></route>")
    PROBE_SFROM = ("<iq type='get' id='probe' sto='localhost' sfrom='probe@foo-sockets'>"
                   "<query xmlns='urn:probe'/></iq>")

    def test_route_as_jabberd_1_2(self):
        self.replay('jabberd-1.2-route.txt', self.server('route'), self.PROBE_ROUTE, {
            19: 'what is asked for a registration is a matter of configuration'}, start=6)

    def test_route_as_jabberd14(self):
        self.replay('jabberd14-head-route.txt', self.server('route', version='head'), self.PROBE_ROUTE, {
            25: 'what is asked for a registration is a matter of configuration'}, end='7c. subscriptions')

    def test_sfrom(self):
        self.replay('pre-sto-sfrom-main.txt', self.server('sfrom'), self.PROBE_SFROM, {
            8: 'what is asked for a registration is a matter of configuration',
            50: 'its clock', 56: 'a session that is not known: jabberd meant to answer, and did not', 80: 'likewise'})


if __name__ == '__main__':
    harness.main()
