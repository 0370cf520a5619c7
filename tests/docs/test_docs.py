#!/usr/bin/env python3
"""The documents against the code: every option stands in the sample and in the manual page with its range and default,
every frame in doc/ipc.md with its side, phases and lengths, and nothing else does; links lead somewhere; nothing in the
tree knows the machine that it was written on."""
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import quoteattr

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'system')]
sys.dont_write_bytecode = True
import harness
from schema import options, schema

SOURCE = os.environ['SOURCE']
PATH = os.path.join


def read(*path):
    with open(PATH(SOURCE, *path), encoding='utf-8') as file:
        return file.read()


def summary(option):
    """The line below the option's name in the manual page."""
    if option.kind == 'number':
        allowed = '%s to %s' % (option.lowest, option.highest) + (' or ' + option.word if option.word != '-' else '')
    elif option.kind == 'choice':
        words = option.word.split('|')
        allowed = ', '.join(words[:-1]) + ' or ' + words[-1]
    else:
        allowed = 'yes or no' if option.kind == 'boolean' else 'text'
    return '(%s; %s%s)' % (allowed, 'no default' if option.default is None else 'default ' + option.default,
                           '; restart' if option.change == 'restart' else '')


class Options(unittest.TestCase):
    def test_the_table_is_there(self):
        self.assertGreater(len(options()), 30)

    def sample(self):
        """(element, name) -> value, and whether it is in force or stands in a comment."""
        text = read('etc', 'c2sd.xml')
        found = {}
        elements = [(element, True) for element in ElementTree.fromstring(text)]
        for comment in re.findall(r'<!--\s*(<.*?>)\s*-->', text, re.S):
            elements.append((ElementTree.fromstring(comment), False))
        for element, live in elements:
            for name, value in element.attrib.items():
                if live or (element.tag, name) not in found:
                    found[element.tag, name] = (value, live)
            if element.text and element.text.strip():
                found[element.tag, ''] = (element.text.strip(), live)
        return found

    def test_sample_has_every_option_and_no_other(self):
        self.assertEqual(sorted(options()), sorted(self.sample()))

    def test_sample_shows_the_defaults(self):
        table = options()
        for key, (value, live) in self.sample().items():
            if table[key].default is None:
                self.assertTrue(not live or key[0] in ('host', 'certificate'), key)
            else:
                self.assertEqual(table[key].default, value, key)

    def check_is_accepted(self, text, certificates):
        """With a certificate in the place that it names: the folder `certificates`."""
        with tempfile.TemporaryDirectory() as folder:
            for chain, key in re.findall('<certificate chain="%s([^"]*)"\\s+key="%s([^"]*)"' % (certificates, certificates), text):
                subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ed25519', '-nodes', '-subj', '/CN=example.org', '-keyout',
                                PATH(folder, key), '-out', PATH(folder, chain)], check=True, capture_output=True)
                os.chmod(PATH(folder, key), 0o600)
            sample = PATH(folder, 'c2sd.xml')
            with open(sample, 'w', encoding='utf-8') as file:
                file.write(text.replace('"' + certificates, '"%s/' % folder))
            result = subprocess.run([os.environ['C2SD'], '-t', '-c', sample], capture_output=True, text=True)
            self.assertEqual((0, ''), (result.returncode, result.stderr))

    def test_sample_is_accepted(self):
        self.check_is_accepted(read('etc', 'c2sd.xml'), '/etc/c2sd/')

    def test_examples_are_accepted(self):
        for path in (('doc', 'c2sd.xml.5'), ('README.md',)):
            examples = re.findall('^ *<c2sd>$.*?^ *</c2sd>$', read(*path), re.M | re.S)
            self.assertTrue(examples, path)
            for text in examples:
                with self.subTest(path=path, text=text):
                    self.check_is_accepted(text, '/usr/local/etc/c2sd/tls/')

    def test_manual_has_every_option_and_no_other(self):
        found = {}
        section = None
        lines = read('doc', 'c2sd.xml.5').splitlines()
        for number, line in enumerate(lines):
            if line.startswith('.S'):
                section = line[4:] if line.startswith('.Ss ') else None
            elif line.startswith('.It Cm ') and section:
                name = line[len('.It Cm '):]
                found[section, '' if name == 'text' else name] = lines[number + 1]
        self.assertEqual({key: summary(option) for key, option in options().items()}, found)


class Schema(unittest.TestCase):
    """Files through etc/c2sd.rng and through the table."""
    good = {'': 'a.b-c', 'string': 'x y', 'domain': 'a.b-c', 'path': '/a b', 'network': '2001:db8::/32'}

    def setUp(self):
        if not shutil.which('xmllint'):
            self.skipTest('xmllint is not installed')
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.files = []

    def test_it_is_what_the_table_says(self):
        self.assertEqual(schema(), read('etc', 'c2sd.rng'),
                         'OPTIONS=build/tests/docs/options tests/docs/schema.py > etc/c2sd.rng')

    def write(self, text):
        self.files.append(PATH(self.folder.name, '%d.xml' % len(self.files)))
        with open(self.files[-1], 'w', encoding='utf-8') as file:
            file.write(text)

    def write_option(self, option, value):
        """A file in which that option has that value."""
        listen = '<listen/>' if option.element != 'listen' else ''
        host = '<host>h</host>' if option.element != 'host' else ''
        if not option.name:
            element = '<%s>%s</%s>' % (option.element, value.replace('&', '&amp;').replace('<', '&lt;'), option.element)
        else:
            attributes = {'link': {'type': 'connect', 'address': 'h:1', 'secret': 's'},
                          'certificate': {'chain': '/c'}}.get(option.element, {})
            attributes[option.name] = value
            element = '<%s %s/>' % (option.element, ' '.join('%s=%s' % (name, quoteattr(text, {'\t': '&#9;'}))
                                                           for name, text in attributes.items()))
        self.write('<c2sd>%s%s\n%s</c2sd>' % (listen, host, element))

    def accepted(self):
        """The texts of the files that the schema accepts."""
        result = subprocess.run(['xmllint', '--noout', '--relaxng', PATH(SOURCE, 'etc', 'c2sd.rng'), *self.files],
                                capture_output=True, text=True)
        verdicts = dict(re.findall(r'^(\S+\.xml) (validates|fails to validate)$', result.stderr, re.M))
        self.assertEqual(set(self.files), set(verdicts), result.stderr[:2000])
        return [read(file) for file in self.files if verdicts[file] == 'validates']

    def test_sample_is_accepted(self):
        self.files.append(PATH(SOURCE, 'etc', 'c2sd.xml'))
        self.assertEqual(1, len(self.accepted()))

    def values(self, option):
        """What an option may be, and what not."""
        if option.kind == 'number':
            lowest, highest = int(option.lowest), int(option.highest)
            return ([str(lowest), str(highest), '0' + str(highest)] + [option.word] * (option.word != '-'),
                    ['', 'x', '-1', '+%d' % highest, ' %d' % highest, '%d ' % highest, '%d.0' % highest, str(highest + 1),
                     'Never', str(lowest - 1)])
        if option.kind in ('choice', 'boolean'):
            words = option.word.split('|') if option.kind == 'choice' else ['yes', 'no']
            return words, ['', 'true', words[0].upper() + ('x' if words[0].upper() == words[0] else ''), ' ' + words[0], words[0] + words[1]]
        bad = ['', 'a' * 1024, 'a\tb'] + {'path': ['a/b', ' /a'], 'domain': ['a@b', 'a/b', 'a b', 'a&b', 'a<b', 'a"b'],
                                          'network': ['example.org', '192.0.2.1/', '192.0.2.1 ', '::1%lo', '192.0.2.1/-1'],
                                          'string': []}[option.kind]
        return [self.good[option.kind]], bad

    def test_values_that_are_allowed(self):
        for option in options().values():
            if (option.element, option.name) != ('link', 'type'):
                for value in self.values(option)[0]:
                    self.write_option(option, value)
        self.write('<c2sd><listen/><host> \n a </host><link type="embedded"/></c2sd>')
        self.write('<?editor hint?><c2sd><host>a</host><listen/><!-- c --><host>b</host><log/><listen port="1"/></c2sd>')
        self.assertGreater(len(self.files), 100)
        self.assertEqual([read(file) for file in self.files], self.accepted())

    def refused_by_both(self):
        self.assertEqual([], self.accepted())
        for file in self.files:
            result = subprocess.run([os.environ['C2SD'], '-t', '-c', file], capture_output=True, text=True)
            self.assertEqual(1, result.returncode, read(file))
            self.assertRegex(result.stderr, r'^(%s:[1-9][0-9]*: .+\n)+$' % re.escape(file), read(file))

    def test_values_that_are_not(self):
        for option in options().values():
            for value in self.values(option)[1]:
                self.write_option(option, value)
        self.assertGreater(len(self.files), 300)
        self.refused_by_both()

    def test_elements_that_are_not(self):
        inside = '<listen/><host>h</host>'
        for text in ('<c2d>%s</c2d>', '<c2sd x="1">%s</c2sd>', '<c2sd>%s x</c2sd>', '<c2sd>%s<typo/></c2sd>',
                     '<c2sd xmlns="urn:x">%s</c2sd>', '<c2sd>%s<Log/></c2sd>', '<c2sd><x>%s</x></c2sd>'):
            self.write(text % inside)
        self.write('<c2sd><listen/></c2sd>')
        self.write('<c2sd><host>h</host></c2sd>')
        self.write('<c2sd/>')
        for element in sorted({element for element, name in options()} - {'listen', 'host'}):
            self.write('<c2sd>%s<%s/><%s/></c2sd>' % (inside, element, element))
        for element in sorted({element for element, name in options()}):
            self.write('<c2sd>%s<%s typo="1"/></c2sd>' % (inside, element))
            self.write('<c2sd>%s<%s><x/></%s></c2sd>' % (inside, element, element))
            if (element, '') not in options():
                self.write('<c2sd>%s<%s>x</%s></c2sd>' % (inside, element, element))
        self.write('<c2sd>%s<link type="connect" address="h:1"/></c2sd>' % inside)
        self.write('<c2sd>%s<link type="connect" secret="s"/></c2sd>' % inside)
        self.refused_by_both()


def product(text):
    """The value of a constant of C that is made of numbers, * and +."""
    return sum(math.prod(int(factor.strip(' u')) for factor in term.split('*')) for term in text.split('+'))


class Frames(unittest.TestCase):
    def contract(self):
        """Name -> the row of the table as doc/ipc.md writes it."""
        defined = dict(re.findall(r'#define (\w+) \(?([\w *+]+)\)?$', read('ipc', 'frame.h') + read('ipc', 'contract.h'),
                                  re.M))
        rows = {}
        for name, side, phases, descriptor, least, most, secret in re.findall(
                r'\[(\w+)\] = \{ "\w+", CONTRACT_(\w+), ([A-Z_| ]+), (\w+), (\d+), ([\w *]+), (\w+) \}',
                read('ipc', 'contract.c')):
            words = [word.lower() for word in re.findall(r'IN_(\w+)', phases)]
            length = least if least == most else '%s to %s' % (least, product(defined.get(most, most)))
            rows[name] = (', '.join(words), 'yes' if descriptor == 'true' else 'no', length, secret == 'true')
        return rows

    def test_every_frame_is_in_the_table(self):
        named = set(re.findall(r'^\t([MW]2[MW]_\w+)', read('ipc', 'contract.h'), re.M))
        self.assertEqual(named, set(self.contract()))
        self.assertGreater(len(named), 15)

    def test_document_has_every_frame_and_no_other(self):
        found = {}
        for line in read('doc', 'ipc.md').splitlines():
            cells = [cell.strip().strip('`') for cell in line.strip('|').split('|')]
            if line.startswith('| `') and re.match(r'[MW]2[MW]_', cells[0]):
                found[cells[0]] = (*cells[1:4], cells[4].startswith('Secret.'))
        self.assertEqual(self.contract(), found)

    def test_document_has_every_breach_and_reason(self):
        text = read('doc', 'ipc.md')
        for source, table in (('contract.c', 'BREACH'), ('reason.c', 'END')):
            names = re.findall(r'\[%s_\w+\] = "([a-z-]+)"' % table, read('ipc', source))
            self.assertGreater(len(names), 5)
            for name in names:
                self.assertIn('`%s`' % name, text)

    def test_version(self):
        version = re.search(r'#define CONTRACT_VERSION (\d+)', read('ipc', 'contract.h')).group(1)
        self.assertIn('version of the contract is %s.' % version, read('doc', 'ipc.md'))


class Log(unittest.TestCase):
    """The lines of the log: their grammar, and that doc/log.md lists them (common/log.h)."""

    SPEC = r'%[-.*0-9]*(?:z|l|ll)?[a-z]'
    VALUE = r'(?:(?:%s)+|"[^"]*"|[a-z0-9-]+)' % SPEC
    LINE = re.compile(r'(?P<id>%%s )?(?P<object>[a-z-]+) (?P<name>%%[sud] )?(?P<verb>[a-z-]+)(?P<pairs>(?: [a-z_]+=%s)*)'
                      % VALUE)
    ROW = re.compile(r'\| `(?P<id>ID )?(?P<object>[a-z-]+) (?P<name>NAME )?(?P<verb>[a-z-]+)(?P<pairs>(?: [a-z_]+=)*)` '
                     r'\| (?P<levels>[a-z, ]+) \|')

    @staticmethod
    def calls():
        """(place, level, format, the whole call) of each call that logs."""
        for folder in ['common', 'ipc', 'master', 'worker', 'sessiond']:
            for name in sorted(os.listdir(PATH(SOURCE, folder))):
                if not name.endswith('.c') or (folder, name) == ('common', 'log.c'):
                    continue
                text = re.sub(r'"\s*PRI([a-z])\d*\s*"', r'\1', read(folder, name))
                text = re.sub(r'"\s*PRI([a-z])\d*\b', r'\1"', text)
                for call in re.finditer(r'\blog_(error|warning|info|debug)\((\s*(?:"(?:[^"\\]|\\.)*"\s*)*)[^;]*;', text):
                    pieces = re.findall(r'"((?:[^"\\]|\\.)*)"', call.group(2))
                    yield folder + '/' + name, call.group(1), ''.join(pieces).replace('\\"', '"'), call.group(0)

    @staticmethod
    def key(match):
        return bool(match['id']), match['object'], bool(match['name']), match['verb']

    def test_grammar(self):
        for place, _, text, call in self.calls():
            with self.subTest(place, line=text):
                self.assertTrue(self.LINE.fullmatch(text), 'not OBJECT [NAME] VERB [KEY=VALUE ...], see doc/log.md')
                if re.search(r'strerror\([^"]*$', call) and 'log_quote' not in call:
                    self.assertRegex(text, '="%s"')

    def test_every_line_is_in_the_document(self):
        code, document = {}, {}
        for _, level, text, _ in self.calls():
            match = self.LINE.fullmatch(text)
            if match:
                keys, levels = code.setdefault(self.key(match), (set(), set()))
                keys.update(re.findall(r' ([a-z_]+)=', match['pairs']))
                levels.add(level)
        for match in self.ROW.finditer(read('doc', 'log.md')):
            self.assertNotIn(self.key(match), document)
            document[self.key(match)] = (set(re.findall(r' ([a-z_]+)=', match['pairs'])), set(match['levels'].split(', ')))
        self.assertGreater(len(code), 50)
        for key in sorted(set(code) | set(document)):
            with self.subTest(line=' '.join(part for part in key if isinstance(part, str))):
                self.assertEqual(code.get(key), document.get(key), '(keys, levels) in the code and in doc/log.md')


class Documents(unittest.TestCase):
    documents = ['README.md', 'HACKING.md', 'doc/design.md', 'doc/ipc.md', 'doc/link.md', 'doc/control.md', 'doc/tls.md', 'doc/reliability.md']

    def test_links_lead_to_files(self):
        for document in self.documents:
            for target in re.findall(r'\]\(([^)#]+)[^)]*\)', read(document)):
                if '://' not in target:
                    path = PATH(SOURCE, os.path.dirname(document), target)
                    self.assertTrue(os.path.exists(path), '%s: %s' % (document, target))

    def test_files_that_are_named_exist(self):
        name = re.compile(r'`((?:common|ipc|dialect|master|worker|sessiond|ctl|etc|tests|doc)/[\w./-]*\w)`')
        for document in self.documents:
            for path in name.findall(read(document)):
                self.assertTrue(os.path.exists(PATH(SOURCE, path)) or os.path.exists(PATH(SOURCE, path + '.h')),
                                '%s: %s' % (document, path))

    def test_tests_that_are_named_exist(self):
        """`FILE`, `FILE CLASS`, `FILE CLASS.TEST`, `FILE TEST` of C, `tests/soak/soak SCENARIO`."""
        named = re.findall(r'`(tests/[\w./-]+)(?: ([\w.-]+))?`', read('doc', 'reliability.md').partition('## Which test')[2])
        self.assertGreater(len(named), 30)
        for path, what in named:
            with self.subTest(path=path, what=what):
                text = read(path) if not path.endswith('/soak') else read('tests', 'soak', 'scenarios.py') + "'everything'"
                name, _, test = what.partition('.')
                form = r'class %s\b' if path.endswith('.py') else "'%s'" if path.endswith('/soak') else r'TEST\(%s\)'
                if what:
                    self.assertRegex(text, form % re.escape(name))
                if test:
                    self.assertRegex(text, r'def %s\(' % test)

    def test_documents_of_comments_exist(self):
        for folder in ('common', 'ipc', 'dialect', 'master', 'worker', 'sessiond', 'ctl'):
            for name in os.listdir(PATH(SOURCE, folder)):
                for path in re.findall(r'doc/[\w.]+\w', read(folder, name) if name.endswith(('.c', '.h')) else ''):
                    self.assertTrue(os.path.exists(PATH(SOURCE, path)), '%s/%s: %s' % (folder, name, path))

    def test_commands_of_the_usage_are_in_the_manual(self):
        usage = re.search(r'"usage: c2sctl.*?exit\(', read('ctl', 'main.c'), re.S).group(0)
        manual = read('doc', 'c2sctl.1')
        commands = re.findall(r'"  (\w+)(?: (\w+))?', usage)
        self.assertGreater(len(commands), 6)
        for command, action in commands:
            self.assertRegex(manual, r'\.It Cm %s%s\b' % (command, ' ' + action if command == 'user' else ''))

    def test_commands_of_the_control_socket_are_in_its_document(self):
        commands = set(re.findall(r'\{ "(\w+)", control_', read('master', 'control_command.c')))
        self.assertGreater(len(commands), 8)
        self.assertEqual(commands, set(re.findall(r'^\| `\{"command":"(\w+)"', read('doc', 'control.md'), re.M)))

    def test_manual_pages_are_clean(self):
        if not shutil.which('mandoc'):
            self.skipTest('mandoc is not installed')
        for page in ('c2sctl.1', 'c2sd.8', 'c2sd.xml.5'):
            result = subprocess.run(['mandoc', '-Tlint', '-Wwarning', PATH(SOURCE, 'doc', page)], capture_output=True,
                                    text=True)
            self.assertEqual((0, ''), (result.returncode, result.stdout), page)


class Tree(unittest.TestCase):
    def files(self):
        for folder, folders, names in os.walk(SOURCE):
            folders[:] = [name for name in folders if not name.startswith(('.', 'build')) and
                          name not in ('run', 'corpus', '__pycache__')]
            for name in names:
                if os.path.isfile(PATH(folder, name)):
                    yield os.path.relpath(PATH(folder, name), SOURCE)

    def test_nothing_knows_a_machine(self):
        # Put together, so that this file does not find itself.
        machine = re.compile('/' + 'work/|/' + 'home/[a-z]|/tmp/' + 'b-|/root' + '/')
        for path in self.files():
            try:
                text = read(path)
            except UnicodeDecodeError:
                continue
            self.assertIsNone(machine.search(text), path)

    def test_nothing_is_left_to_do(self):
        marks = re.compile(r'\b(TO' + 'DO|FIX' + r'ME)\b')
        for path in self.files():
            if path.endswith(('.c', '.h', '.py', '.md', '.build')):
                self.assertIsNone(marks.search(read(path)), path)


if __name__ == '__main__':
    harness.main()
