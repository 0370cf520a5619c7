"""XML streams for the tests: bytes in, complete top-level elements out, with the very bytes they came in.

Independent of c2sd's own parsers on purpose: expat reads what libxml2 and the splitter have let through.
"""
import xml.parsers.expat
from xml.sax.saxutils import escape, quoteattr

XML = 'http://www.w3.org/XML/1998/namespace'
STREAMS = 'http://etherx.jabber.org/streams'
SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
STREAM_ERRORS = 'urn:ietf:params:xml:ns:xmpp-streams'


class Element:
    """An element: name, namespace, attributes, children, text; `raw` only on top-level ones."""

    def __init__(self, name, attributes):
        self.namespace, _, self.name = name.rpartition(' ')
        self.attributes = attributes
        self.children = []
        self.text = ''
        self.raw = b''

    def get(self, name, default=None):
        return self.attributes.get(name, default)

    def child(self, name, namespace=None):
        """The first child of that name (and namespace), or None."""
        for child in self.children:
            if child.name == name and namespace in (None, child.namespace):
                return child
        return None

    def child_text(self, name):
        child = self.child(name)
        return None if child is None else child.text

    def write(self, home=(), inside=''):
        """As text. `inside`: the namespace around it; those in `home` are the stream's own and are not written, so that a
        packet of one stream can be sent in another. Text between children comes before them."""
        namespace = '' if self.namespace in home else self.namespace
        name = self.name
        text = '' if namespace == inside else ' xmlns=' + quoteattr(namespace)
        if namespace == STREAMS:
            name, text = 'stream:' + name, ''
        for number, (key, value) in enumerate(self.attributes.items()):
            space, _, key = key.rpartition(' ')
            prefix = 'xml:' if space == XML else 'a%d:' % number if space else ''
            if space not in ('', XML):
                text += ' xmlns:a%d=%s' % (number, quoteattr(space))
            text += ' %s%s=%s' % (prefix, key, quoteattr(value))
        if not self.children and not self.text:
            return '<%s%s/>' % (name, text)
        children = ''.join(child.write(home, inside if namespace == STREAMS else namespace) for child in self.children)
        return '<%s%s>%s%s</%s>' % (name, text, escape(self.text), children, name)

    def has_510(self):
        return any(c.name == 'error' and c.get('code') == '510' for c in self.children)

    def __repr__(self):
        return self.raw.decode('utf-8', 'replace') or '<%s %r>' % (self.name, self.attributes)


class XmlStream:
    """One direction of a stream, or of two on one connection: another begins behind the <success/> of SASL. feed() returns
    the elements that became complete."""

    def __init__(self):
        self._begin()

    def _begin(self):
        self.header = None
        self.closed = False
        self._raw = bytearray()
        self._dropped = 0
        self._stack = []
        self._ready = []
        self._succeeded = None
        self._parser = xml.parsers.expat.ParserCreate(namespace_separator=' ')
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def feed(self, data):
        self._raw += data
        try:
            self._parser.Parse(data, False)
        except xml.parsers.expat.ExpatError:
            if self._succeeded is None:
                raise
            ready, rest = self._ready, bytes(self._raw[len(self._succeeded.raw):])
            self._begin()
            return ready + self.feed(rest)
        ready, self._ready = self._ready, []
        return ready

    def _start(self, name, attributes):
        element = Element(name, attributes)
        if self.header is None:
            self.header = element
            return
        if not self._stack:
            del self._raw[:self._parser.CurrentByteIndex - self._dropped]
            self._dropped = self._parser.CurrentByteIndex
        else:
            self._stack[-1].children.append(element)
        self._stack.append(element)

    def _text(self, text):
        if self._stack:
            self._stack[-1].text += text

    def _end(self, name):
        if not self._stack:
            self.closed = True
            return
        element = self._stack.pop()
        if not self._stack:
            element.raw = self._take(element)
            self._ready.append(element)
            if (element.name, element.namespace) == ('success', SASL):
                self._succeeded = element
                self.header = None

    def _take(self, element):
        """The bytes of the element that ends here: expat tells where its end tag begins; where an empty tag ends."""
        end = self._parser.CurrentByteIndex - self._dropped
        empty = not element.children and not element.text and self._raw[:end].endswith(b'/>')
        if not empty:
            end = self._raw.index(b'>', end) + 1
        return bytes(self._raw[:end])


def parse(text):
    """The one element in this text; `stream` is declared."""
    elements = XmlStream().feed(("<x xmlns:stream='%s'>%s" % (STREAMS, text.strip())).encode())
    if len(elements) != 1:
        raise ValueError('not one element: ' + text)
    return elements[0]
