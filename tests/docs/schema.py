#!/usr/bin/env python3
"""Writes etc/c2sd.rng, the schema of c2sd.xml for editors, from the table of options (OPTIONS names the program that dumps
it, see options.c): OPTIONS=build/tests/docs/options tests/docs/schema.py > etc/c2sd.rng"""
import os
import subprocess
import sys
from xml.sax.saxutils import escape, quoteattr

# What a build with default options would say.
USUAL = (('LIBEXECDIR', '/usr/local/libexec/c2sd'), ('STATEDIR', '/var/lib/c2sd'), ('RUNDIR', '/run/c2sd'),
         ('LOGDIR', '/var/log/c2sd'))

# Elements without which there is no service.
NEEDED = ('listen', 'host')

HEAD = '''<?xml version="1.0" encoding="UTF-8"?>
<!--
  RELAX NG schema of c2sd.xml(5), for editors: xmllint -noout -relaxng c2sd.rng c2sd.xml
  It is made from the table of options by tests/docs/schema.py. What several options say together only `c2sd -t` knows.
-->
<element name="c2sd" xmlns="http://relaxng.org/ns/structure/1.0"
  xmlns:a="http://relaxng.org/ns/compatibility/annotations/1.0"
  datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <interleave>
'''
TAIL = '''  </interleave>
</element>
'''


class Option:
    def __init__(self, line):
        (self.element, self.name, self.kind, self.lowest, self.highest, self.word, default, self.change, self.required,
         self.help, self.most, self.about) = line.split('\t')
        for variable, usual in USUAL:
            built = os.environ.get(variable, usual)
            if default.startswith(built + '/'):
                default = usual + default[len(built):]
        if (self.element, self.name) == ('user', 'name') and default == os.environ.get('SERVICE_USER'):
            default = 'c2sd'
        self.default = None if default == '-' else default


def options():
    """(element, name) -> its row of the table, in order."""
    lines = subprocess.run([os.environ['OPTIONS']], capture_output=True, text=True, check=True).stdout.splitlines()
    return {(option.element, option.name): option for option in map(Option, lines)}


def parameters(**values):
    return ''.join('<param name="%s">%s</param>' % (name, escape(str(value))) for name, value in values.items())


def values(option):
    """The pattern of what the option may be."""
    if option.kind == 'boolean':
        return '<choice><value type="string">yes</value><value type="string">no</value></choice>'
    if option.kind == 'choice':
        return '<choice>%s</choice>' % ''.join('<value type="string">%s</value>' % word for word in option.word.split('|'))
    if option.kind == 'number':
        # Digits only: the type alone would take a sign and blanks.
        number = '<data type="integer">%s<except><data type="string">%s</data></except></data>' % (
            parameters(minInclusive=option.lowest, maxInclusive=option.highest), parameters(pattern='.*[^0-9].*|'))
        return number if option.word == '-' else '<choice>%s<value type="string">%s</value></choice>' % (number, option.word)
    # The text of an element may have blanks around it.
    kind = 'string' if option.name else 'token'
    pattern = {'path': r'/[^\n\r\t]*', 'domain': r'''[^@/"'<>&\s]+''', 'string': r'[^\n\r\t]+',
               'network': '[0-9a-fA-F:.]+(/[0-9]{1,3})?'}[option.kind]
    return '<data type="%s">%s</data>' % (kind, parameters(pattern=pattern, maxLength=1023))


def documentation(option):
    default = '' if option.default is None else '; default %s' % option.default
    restart = '; changed by a restart only' if option.change == 'restart' else ''
    return '<a:documentation>%s%s%s</a:documentation>' % (escape(option.help), escape(default), restart)


def attribute(option, indent, required=False, only=None):
    default = '' if option.default is None or only else ' a:defaultValue=%s' % quoteattr(option.default)
    lines = ['<attribute name="%s"%s>' % (option.name, default), '  ' + documentation(option),
             '  ' + ('<value type="string">%s</value>' % only if only else values(option)), '</attribute>']
    if not required:
        lines = ['<optional>'] + ['  ' + line for line in lines] + ['</optional>']
    return [indent + line for line in lines]


def link(rows, indent):
    """What connects needs to know where, and with what secret; what is embedded does not."""
    by_name = {option.name: option for option in rows}
    special = [by_name[name] for name in ('type', 'address', 'secret')]
    lines = [indent + '<choice>']
    for kind, needed in (('embedded', False), ('connect', True)):
        lines += [indent + '  <group>']
        lines += attribute(special[0], indent + '    ', needed, kind)
        for option in special[1:]:
            lines += attribute(option, indent + '    ', needed)
        lines += [indent + '  </group>']
    return lines + [indent + '</choice>'], [option for option in rows if option not in special]


def section(rows):
    indent = '    '
    more = int(rows[0].most) > 1
    often = 'optional' if not more else 'oneOrMore' if rows[0].element in NEEDED else 'zeroOrMore'
    lines = [indent + '<%s>' % often, indent + '  <element name="%s">' % rows[0].element,
             indent + '    <a:documentation>%s%s</a:documentation>' % (
                 escape(rows[0].about), '; at most %s' % rows[0].most if more else '')]
    if rows[0].element == 'link':
        special, rows = link(rows, indent + '    ')
        lines += special
    named = [option for option in rows if option.name]
    if len(named) > 1:
        # Attributes have no order anyway. As a group libxml2 tries them with and without each: 2^20 times for 20 of them.
        lines.append(indent + '    <interleave>')
    for option in named:
        lines += attribute(option, indent + '    ' + '  ' * (len(named) > 1), option.required == 'required')
    if len(named) > 1:
        lines.append(indent + '    </interleave>')
    for option in rows:
        if not option.name:
            lines += [indent + '    ' + documentation(option), indent + '    ' + values(option)]
    return lines + [indent + '  </element>', indent + '</%s>' % often]


def schema():
    rows = options()
    elements = dict.fromkeys(element for element, name in rows)
    lines = []
    for element in elements:
        lines += section([option for option in rows.values() if option.element == element])
    return HEAD + '\n'.join(lines) + '\n' + TAIL


if __name__ == '__main__':
    sys.stdout.write(schema())
