#!/usr/bin/env python3
"""The completion of both shells knows each command of c2sctl, and no other, and what follows them."""
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
import harness

C2SCTL = os.environ['C2SCTL']
COMPLETION = os.environ['COMPLETION']

BASH = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_c2sctl
printf '%s\\n' "${COMPREPLY[@]}"
"""

# What the completion system of zsh would call it with.
ZSH = """
_arguments() { [[ $state == argument ]] || state=$wanted; [[ -z $first ]] || line=($first); print -l -- ${@} >> $said }
_describe() { print -l -- ${(P)@[-1]} }
source $1
"""


def usage():
    result = subprocess.run([C2SCTL, '--help'], capture_output=True, text=True, check=True)
    return set(re.findall(r'^  (\w+)', result.stdout, re.M))


class Bash(unittest.TestCase):
    def complete(self, *words, path=os.environ['PATH']):
        result = subprocess.run(['bash', '-c', BASH, 'bash', os.path.join(COMPLETION, 'c2sctl.bash'), 'c2sctl'] +
                                list(words), capture_output=True, text=True, env={'PATH': path})
        self.assertEqual('', result.stderr)
        return set(result.stdout.split())

    def test_commands(self):
        self.assertGreater(len(usage()), 10)
        self.assertEqual(usage(), {word for word in self.complete('') if not word.startswith('-')})
        self.assertEqual({'reload'}, self.complete('r'))
        self.assertEqual({'top', 'trace'}, self.complete('-s', '/run/x', '--json', 't'))

    def test_what_follows(self):
        self.assertEqual({'add', 'passwd', 'del', 'list'}, self.complete('user', ''))
        self.assertEqual(set(), self.complete('user', 'add', ''))
        self.assertEqual({'debug'}, self.complete('loglevel', 'd'))
        self.assertEqual({'--worker', '--account', '--address', '--tls', '--throttled'},
                         self.complete('sessions', '--') - {'--json'})
        self.assertEqual({'--worker'}, self.complete('top', '--w'))
        self.assertEqual(set(), self.complete('kick', ''))
        self.assertEqual({'--folder', '--force', '--days'}, self.complete('cert', '--') - {'--json'})

    def test_workers_are_asked_for(self):
        with tempfile.TemporaryDirectory() as folder:
            fake = os.path.join(folder, 'c2sctl')
            with open(fake, 'w', encoding='utf-8') as file:
                file.write("#!/bin/sh\n[ \"$*\" = '-s /run/x --json workers' ] || exit 3\n"
                           "printf '{\"number\":%s,\"pid\":1}\\n' 0 12\n")
            os.chmod(fake, stat.S_IRWXU)
            path = folder + ':' + os.environ['PATH']
            self.assertEqual({'0', '12'}, self.complete('-s', '/run/x', 'drain', '', path=path))
            self.assertEqual({'12'}, self.complete('-s', '/run/x', 'sessions', '--worker', '1', path=path))
            self.assertEqual(set(), self.complete('drain', '', path=path))


@unittest.skipUnless(shutil.which('zsh'), 'zsh is not installed')
class Zsh(unittest.TestCase):
    def complete(self, wanted, first=''):
        """What is offered, and what _arguments is told."""
        with tempfile.NamedTemporaryFile('r', encoding='utf-8') as said:
            result = subprocess.run(['zsh', '-f', '-c', ZSH, 'zsh', os.path.join(COMPLETION, '_c2sctl')],
                                    capture_output=True, text=True,
                                    env={'PATH': os.environ['PATH'], 'wanted': wanted, 'first': first, 'said': said.name})
            self.assertEqual('', result.stderr)
            return result.stdout.splitlines(), said.read()

    def test_commands(self):
        offered = self.complete('command')[0]
        self.assertEqual(usage(), {line.partition(':')[0] for line in offered})
        self.assertTrue(all(line.partition(':')[2] for line in offered))

    def test_what_follows(self):
        for command, words in (('user', '(add passwd del list)'), ('loglevel', '(error warning info debug)'),
                               ('sessions', '--address'), ('top', '--worker'), ('drain', '_c2sctl_workers'),
                               ('cert', '--folder')):
            self.assertIn(words, self.complete('argument', command)[1], command)


if __name__ == '__main__':
    harness.main()
