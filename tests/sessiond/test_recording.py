#!/usr/bin/python3
"""Sends what a recorded socket manager sent to the jabberd of 2000, and compares our answers with jabberd's: element,
type, id, addresses, error code, text and payload. Where we differ on purpose stands in DIFFERENT, with what we say
instead. TAP on standard output."""
import os
import re
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

from manager import Manager

PROGRAM, RECORDING = sys.argv[1:3]

# Packets that the recording holds but that mean something else to us, before they are sent.
REWRITE = [
    # We keep no passwords, so that nobody can log in with a digest.
    (re.compile('<digest .*</digest>'), '<password>pw</password>'),
]

# By id (or, without one, by the whole packet): what we answer, and why it is not what jabberd answered.
DIFFERENT = {
    # A get asks which fields there are (XEP-0078); jabberd took it for an attempt to log in.
    'a0': ["iq result a0 12@foo-sockets/A1 localhost {jabber:iq:auth}query"],
    # RFC 6121 4.2.2: one's own resources hear of it.
    "<presence sto='alice@localhost/home' sfrom='12@foo-sockets/A1'/>":
        ['presence - - 12@foo-sockets/A1 alice@localhost'],
    "<presence sto='bob@localhost/work' sfrom='13@foo-sockets/B1'/>":
        ['presence - - 13@foo-sockets/B1 bob@localhost'],
    "<presence sto='alice@localhost/home' sfrom='16@foo-sockets/D1'/>":
        ['presence - - 16@foo-sockets/D1 alice@localhost'],
    # The client is told that its session is gone; jabberd meant to (link-protocol 1.5 e).
    'm3': ["message error m3 15@foo-sockets/Z1 alice@localhost/nosuch body=x 510"],
    'p9': ["message error - 16@foo-sockets/D1 alice@localhost/home 510"],
    # A 510 is not answered with one; and the replaced client's presence ends.
    'a3': ["iq result a3 16@foo-sockets/D1 alice@localhost/home",
           "message error - 12@foo-sockets/A1 alice@localhost/home 510"],
    'm4/error': [],  # never back to the client that could not take it
    'm5/error': [],
    'q1/error': [],
    "<message type='error' sto='alice@localhost/home' sfrom='16@foo-sockets/D1'>"
    "<error code='510'>Disconnected</error></message>": [],
    # Both bounced messages wait.
    "<presence sto='bob@localhost/work' sfrom='17@foo-sockets/E1'/>":
        ['presence - - 17@foo-sockets/E1 bob@localhost',
         'message chat m4 17@foo-sockets/E1 bob@localhost body=will bounce',
         'message chat m5 17@foo-sockets/E1 bob@localhost body=will bounce 2'],
}


def conversations(path):
    """The first link of the recording: what was sent, and what came."""
    sent, came = None, ''
    for line in open(path, encoding='utf-8'):
        line = line.rstrip('\n')
        if line.startswith('## closing'):
            break
        if line.startswith('SM-> '):
            if sent is not None:
                yield sent, came
            sent, came = line[5:], ''
        elif line.startswith('<-JD ') and not line.startswith('<-JD ['):
            came += line[5:]
    yield sent, came


def summary(element):
    words = [element.tag.replace('{jabberd:sockets}', '')]
    words += [element.get(name, '-') for name in ('type', 'id', 'sto', 'sfrom')]
    for child in element:
        if child.tag == 'error':
            words.append(child.get('code'))
        elif child.tag == 'body':
            words.append('body=' + child.text)
        elif child.tag.startswith('{jabber:iq:') and element.get('type') == 'result':
            words.append(child.tag)
    return ' '.join(words)


def summaries(text):
    # What it asks its own socket manager is nothing that the original could have said.
    return [summary(element) for element in ElementTree.fromstring('<all>%s</all>' % text) if 'x-c2sd' not in element.tag]


def key_of(packet):
    element = ElementTree.fromstring(packet)
    identity = element.get('id')
    if identity is None:
        return packet
    return identity + '/error' if element.get('type') == 'error' else identity


def answers(manager, packet):
    """Everything up to the answer to a question of our own that follows."""
    for pattern, text in REWRITE:
        packet = pattern.sub(text, packet)
    manager.send(packet + "<iq type='get' id='end' sto='localhost' sfrom='end@foo-sockets'>"
                 "<query xmlns='jabber:iq:register'/></iq>")
    found = manager.expect("(?s)^(.*?)<iq sto='end@foo-sockets'.*?</iq>")
    return found.group(1)


def main():
    number, failed = 0, False
    with tempfile.TemporaryDirectory() as folder:
        manager = Manager(PROGRAM, os.path.join(folder, 'accounts.db')).open()
        for packet, came in list(conversations(RECORDING))[2:]:
            number += 1
            ours = summaries(answers(manager, packet))
            expected = DIFFERENT.get(key_of(packet), summaries(came))
            good = ours == expected
            print('%s %d - %s' % ('ok' if good else 'not ok', number, key_of(packet).replace('#', '')[:60]))
            if not good:
                print('# sent     %s\n# expected %s\n# got      %s' % (packet, expected, ours))
            failed |= not good
        manager.kill()
    print('1..%d' % number)
    return 1 if failed or number < 20 else 0


sys.exit(main())
