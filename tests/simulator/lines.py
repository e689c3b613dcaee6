"""What the servers' repositories hold, as far as the election can lose it: commits and heads.

A commit is a number; what it contains is a set of commits, kept as the bits of an integer.
A head moves forward only if the new one contains the old one. The term lines of a server
have one writer; anybody may pass them on. Each move of a head is checked here (I3, I5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Term = tuple[int, int]  # epoch, server


class Violated(AssertionError):
    """An invariant does not hold."""


def head_name(number: int) -> str:
    """A commit as its head is called in beacons."""
    return f"{number:040x}"


def head_number(name: str) -> int:
    """The commit of a head."""
    return int(name, 16)


def order(term: Term) -> tuple[int, int]:
    """The order of terms: of one epoch the lower id is the greater."""
    return (term[0], -term[1])


@dataclass
class Line:
    """The repository of one server; it survives a crash."""

    cluster: int = 0
    moved_in: tuple[int, int] = (-1, -1)
    terms: dict[Term, int] = field(default_factory=dict)
    objects: int = 1


class History:
    """All commits of a world. The commit 0 is the factory root, which contains itself."""

    def __init__(self) -> None:
        self.contains = [1]
        self.acknowledged = 1
        self.waived = 0
        self.merges = 0

    def commit(self, line: Line, term: Term) -> int:
        """Commit in a term: durable and acknowledged before this returns."""
        number = self._new(self.contains[line.cluster])
        self.acknowledged |= 1 << number
        line.terms[term] = number
        line.objects |= self.contains[number]
        self.move(line, number, term)
        return number

    def merge(self, line: Line, other: int, term: Term) -> bool:
        """Bring another head into the cluster's; a fast-forward if that is enough."""
        own, wanted = self.contains[line.cluster], self.contains[other]
        if wanted | own == own:
            return False
        if wanted | own == wanted:
            number = other
        else:
            # The same heads give the same merge, whoever makes it (I10).
            number = self._new(own | wanted)
            self.merges += 1
        line.terms[term] = number
        line.objects |= self.contains[number]
        self.move(line, number, term)
        return True

    def move(self, line: Line, number: int, term: Term) -> None:
        """Move the cluster's head on one server."""
        before, after = self.contains[line.cluster], self.contains[number]
        if after & before != before:
            raise Violated(f"I5: a head moved from {line.cluster} to {number}, not forward")
        if order(term) < line.moved_in:
            raise Violated(f"I3: a head moved in {term} after {line.moved_in}")
        line.cluster, line.moved_in = number, order(term)

    def lose(self, others: Iterable[Line]) -> None:
        """A disk is lost: what was on no other one was promised to survive a crash only (I4)."""
        held = 1
        for line in others:
            held |= line.objects
        self.waived += (self.acknowledged & ~held).bit_count()
        self.acknowledged &= held

    def forward(self, line: Line, number: int) -> bool:
        """Whether a head contains all that a line's head does."""
        own = self.contains[line.cluster]
        return self.contains[number] & own == own

    def share(self, one: Line, other: Line) -> None:
        """Exchange term lines: each writer's longest one."""
        if one.terms == other.terms:
            return
        for term in one.terms.keys() | other.terms.keys():
            longest = max(one.terms.get(term, 0), other.terms.get(term, 0), key=self._size)
            for line in (one, other):
                line.terms[term] = longest
                line.objects |= self.contains[longest]

    def _size(self, number: int) -> int:
        return self.contains[number].bit_count()

    def __len__(self) -> int:
        return len(self.contains)

    def _new(self, contents: int) -> int:
        number = len(self.contains)
        self.contains.append(contents | 1 << number)
        return number
