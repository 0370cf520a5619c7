"""The law can be broken: each of its paragraphs, by as little as possible."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
import harness  # noqa: E402
from law import KERNEL, Books, longest_fall  # noqa: E402


def target(_sender, _number):
    return 'r'


class Law(unittest.TestCase):
    def setUp(self):
        self.books = Books()

    def arrive(self, *numbers, session=1, **more):
        for number in numbers:
            self.books.arrive('r', session, 's', number, **more)

    def close(self, proven=5, written=5, first=1, **more):
        return self.books.close([('s', first, proven, written)], target, **more)

    def test_everything_arrived(self):
        self.arrive(1, 2, 3, 4, 5)
        verdict = self.close()
        self.assertTrue(verdict.good, verdict.complaints())
        self.assertEqual((5, 5, 0), tuple(verdict.counts[name] for name in ('sent', 'read', 'maybe')))

    def test_one_is_lost(self):
        for missing in range(1, 6):
            self.books = Books()
            self.arrive(*(number for number in range(1, 6) if number != missing))
            self.assertEqual([('s', 'r', missing)], self.close().lost)

    def test_what_a_sender_may_have_sent(self):
        self.arrive(1, 2, 3, 5)
        verdict = self.close(proven=3)
        self.assertTrue(verdict.good, verdict.complaints())
        self.assertEqual(2, verdict.counts['maybe'])

    def test_what_the_kernel_of_a_killed_one_had(self):
        self.arrive(1, 2, 3)
        self.arrive(4, 5, how=KERNEL)
        verdict = self.close()
        self.assertTrue(verdict.good, verdict.complaints())
        self.assertEqual((3, 2), (verdict.counts['read'], verdict.counts['kernel']))

    def test_refused(self):
        self.arrive(1, 2, 3, 4)
        self.books.refuse('s', 5)
        self.assertTrue(self.close().good)

    def test_never_sent(self):
        self.arrive(1, 2, 3, 4, 5, 6)
        self.assertEqual(1, len(self.close().strange))
        self.books = Books()
        self.arrive(1, 2, 3, 4, 5)
        self.assertEqual(2, len(self.close(first=3).strange))

    def test_to_somebody_else(self):
        self.arrive(1, 2, 3, 4)
        self.books.arrive('other', 2, 's', 5)
        self.assertEqual(1, len(self.close().strange))

    def test_changed(self):
        self.arrive(1, 2, 3, 4, 5)
        self.books.change('r', 'something')
        self.assertFalse(self.close().good)

    def test_order(self):
        self.arrive(1, 2, 4, 3, 5)
        verdict = self.close()
        self.assertEqual([('s', 'r', 'plain', 2, 1)], verdict.disorder)
        self.assertEqual(1, verdict.counts['late'])

    def test_order_of_duplicates(self):
        self.arrive(1, 2, 3, 4, 5, 2, 3)
        verdict = self.close()
        self.assertTrue(verdict.good, verdict.complaints())
        self.assertEqual({'session goes on': 2}, dict(verdict.duplicates))

    def test_order_behind_a_session_that_ended(self):
        self.books.end('r', 1, 'killed')
        self.arrive(1)
        self.arrive(4, 2, 5, 3, session=2)
        self.assertTrue(self.close().good)
        self.books = Books()
        self.books.end('r', 1, 'killed')
        self.arrive(1)
        self.arrive(5, 4, 2, 3, session=2)
        self.assertEqual([('s', 'r', 'plain', 3, 2)], self.close().disorder)

    def test_duplicates_by_fate(self):
        self.books.end('r', 1, 'killed')
        self.arrive(1, 2, 3)
        self.arrive(3, 4, 5, session=2)
        self.assertEqual({'killed': 1}, dict(self.close().duplicates))

    def test_falls(self):
        for numbers, fall in (((), 0), ((1,), 1), ((1, 2, 3), 1), ((3, 2, 1), 3), ((1, 5, 2, 4, 3), 3), ((2, 2), 1)):
            self.assertEqual(fall, longest_fall(numbers), numbers)


if __name__ == '__main__':
    harness.main()
