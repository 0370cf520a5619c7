#!/usr/bin/env python3
"""Counts the cases of a meson test run: tally.py TESTLOG.JSON -> "PASSED FAILED SKIPPED" on the last line, and a line for
each failed case before it.

A test that reports its cases (`ok ...`, `not ok ...`: TAP, and the lines of tests/system/harness.py) counts by those, any
other as one. A test that failed without a failed case (it crashed, or ran out of time) is a failed case itself.
"""
import json
import re
import sys

CASE = re.compile(r'^(not ok|ok)\b(.*)$', re.M)
SKIP = re.compile(r'#\s*skip', re.I)


def count(test):
    """(passed, failed names, skipped) of one test."""
    if test['result'] == 'SKIP':
        return 0, [], 1
    passed, failed, skipped = 0, [], 0
    for verdict, rest in CASE.findall(test.get('stdout') or ''):
        if SKIP.search(rest):
            skipped += 1
        elif verdict == 'ok':
            passed += 1
        else:
            failed.append('%s: %s' % (test['name'], rest.strip()))
    good = test['result'] in ('OK', 'EXPECTEDFAIL')
    if not good and not failed:
        failed.append('%s: %s' % (test['name'], test['result'].lower()))
    if good and failed:
        failed = ['%s (and the test as a whole passed)' % name for name in failed]
    if good and passed + len(failed) + skipped == 0:
        passed = 1
    return passed, failed, skipped


def main():
    passed = failed = skipped = 0
    with open(sys.argv[1], encoding='utf-8') as log:
        for line in log:
            found, names, passed_over = count(json.loads(line))
            passed += found
            failed += len(names)
            skipped += passed_over
            for name in names:
                print('FAILED', name)
    print(passed, failed, skipped)


main()
