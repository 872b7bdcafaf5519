"""What was written to a database, in which order, and what anybody may therefore see of it.

Owns: the laws of one database under takeovers, crashes and lost answers.
Does not own: doing anything to it.

The writes of one opened writer are a branch: a list, in the order of their sequence numbers, and
the state after each. What the next writer finds when it has opened must be the state after some
first part of the branch before it; there the old branch is cut, its rest is dead, and the new one
begins. The branches, each up to its cut, are the trunk.

Laws:
1. The first part a new writer finds holds every write that was acknowledged as durable, and every
   write a reader saw. So nothing acknowledged is lost, and nothing comes back.
2. A write behind the cut is never acknowledged: a fenced writer acknowledges nothing.
3. A writer that scans its own database sees the state after one of the writes it had published
   while it did. So no batch is torn.
4. A reader sees the state after some write of the trunk, never an earlier one than it saw before,
   and none earlier than what was acknowledged before it refreshed.
5. A checkpoint is the state after some write of the trunk, at least as late as what was
   acknowledged before it was made, and never changes.
6. A change feed gives the writes of the trunk, each once, in their order, and leaves none out.
7. The accounts of the bank hold the same sum in all that anybody sees.

Invariant: every write has values of its own, so that two states are the same only when the writes
between them undid each other. Such a state is taken for whichever of them breaks no law.

Why whole states, and not histories of keys: a writer's log is one sequence, so to compare what is
seen with its first parts finds the torn, the lost, the resurrected and the reordered all at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest
from typing import Final

from cenote.testing.sim.world import LawBroken

__all__ = ["ACCOUNT", "Branch", "Change", "Deed", "Ledger", "State", "applied"]

ACCOUNT: Final = b"bank/"
_SHOWN_MAX: Final = 12

State = Mapping[bytes, bytes]


class Deed(Enum):
    """What is done to a key. A merge appends."""

    PUT = "put"
    DELETE = "delete"
    MERGE = "merge"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a write."""

    deed: Deed
    key: bytes
    value: bytes = b""


def applied(state: State, changes: Sequence[Change]) -> dict[bytes, bytes]:
    """Return the state after the changes, in their order."""
    after = dict(state)
    for change in changes:
        if change.deed is Deed.PUT:
            after[change.key] = change.value
        elif change.deed is Deed.DELETE:
            after.pop(change.key, None)
        else:
            after[change.key] = after.get(change.key, b"") + change.value
    return after


@dataclass(slots=True)
class Branch:
    """The writes of one opened writer. `states[n]` is the state after the first `n` of them."""

    epoch: int
    offset: int  # how many writes of the trunk come before it
    states: list[State]
    seqs: list[int] = field(default_factory=list)
    changes: list[Sequence[Change]] = field(default_factory=list)
    acknowledged: int = 0
    seen: int = 0
    cut: int | None = None
    cut_min: int = 0  # where the state is the same after several writes: the first of them
    places: dict[frozenset[tuple[bytes, bytes]], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places[frozenset(self.states[0].items())] = [0]

    @property
    def published(self) -> int:
        """How many writes there are."""
        return len(self.states) - 1

    def find(self, state: State, low: int, high: int | None = None) -> int | None:
        """Return the first n >= low (and <= high) whose state this is."""
        for n in self.places.get(frozenset(state.items()), ()):
            if n >= low and (high is None or n <= high):
                return n
        return None


class Ledger:
    """The laws of one database. `state` is what it holds before the first writer."""

    def __init__(self, state: State | None = None, *, bank_sum: int | None = None) -> None:
        self._trunk = [Branch(0, 0, [dict(state or {})])]
        self._bank_sum = bank_sum
        self._readers: dict[str, int] = {}
        self._checkpoints: dict[str, State] = {}
        self.views = 0

    @property
    def tip(self) -> Branch:
        """The branch of the latest writer."""
        return self._trunk[-1]

    @property
    def writes(self) -> int:
        """How many writes there were, the dead ones of the trunk included."""
        return sum(branch.published for branch in self._trunk)

    @property
    def acknowledged(self) -> int:
        """The position in the trunk up to which all is acknowledged as durable."""
        return max(branch.offset + branch.acknowledged for branch in self._trunk)

    # Writers.

    def opened(self, epoch: int, state: State) -> Branch:
        """Begin the branch of a writer that has opened and found `state`. Laws 1, 2, 7."""
        self._check_sum(state, f"the writer of epoch {epoch}")
        if epoch <= self.tip.epoch:
            # Fenced before it had opened: it sees some past, and nothing it does may count.
            return Branch(epoch, 0, [dict(state)], cut=0)
        tip = self.tip
        must = max(tip.acknowledged, tip.seen)
        n = tip.find(state, must)
        if n is None:
            raise LawBroken(
                f"the writer of epoch {epoch} finds no state of the one of epoch {tip.epoch} after "
                f"its first {must} writes (of {tip.published}): " + self._unlike(tip, state, must)
            )
        # An acknowledgement of the latest write that leaves this state may be under way.
        tip.cut_min = n
        tip.cut = tip.places[frozenset(state.items())][-1]
        branch = Branch(epoch, tip.offset + tip.cut, [dict(state)])
        self._trunk.append(branch)
        return branch

    def written(self, branch: Branch, seq: int, changes: Sequence[Change]) -> int:
        """Add a write; return how many the branch has now."""
        if branch.seqs and seq <= branch.seqs[-1]:
            raise LawBroken(f"sequence number {seq} follows {branch.seqs[-1]}")
        branch.seqs.append(seq)
        branch.changes.append(changes)
        branch.states.append(applied(branch.states[-1], changes))
        key = frozenset(branch.states[-1].items())
        branch.places.setdefault(key, []).append(branch.published)
        return branch.published

    def durable(self, branch: Branch, n: int) -> None:
        """Note that the first `n` writes of a branch were acknowledged as durable. Law 2."""
        if branch.cut is not None and n > branch.cut:
            raise LawBroken(
                f"write {n} of the writer of epoch {branch.epoch} was acknowledged, but the next "
                f"writer found {branch.cut} of them"
            )
        branch.acknowledged = max(branch.acknowledged, n)

    def own_view(self, branch: Branch, state: State, low: int, *, durable: bool = False) -> None:
        """Check what a writer sees of its own database; `low` writes were there before. Law 3."""
        self.views += 1
        self._check_sum(state, f"the writer of epoch {branch.epoch}")
        if branch.find(state, 0 if durable else low) is None:
            raise LawBroken(
                f"the writer of epoch {branch.epoch} sees no state after {low} writes or more "
                f"(of {branch.published}): " + self._unlike(branch, state, low)
            )

    # Everybody else.

    def reader_view(self, reader: str, state: State, low: int) -> None:
        """Check what a reader sees; `low` is `acknowledged` before it refreshed. Law 4."""
        self.views += 1
        self._check_sum(state, reader)
        low = max(low, self._readers.get(reader, 0))
        self._readers[reader] = self._placed(state, low, reader)

    def checkpoint_view(self, checkpoint: str, state: State, low: int) -> None:
        """Check what a checkpoint shows; `low` is `acknowledged` before it was made. Law 5."""
        self.views += 1
        self._check_sum(state, f"checkpoint {checkpoint}")
        known = self._checkpoints.get(checkpoint)
        if known is None:
            self._placed(state, low, f"checkpoint {checkpoint}")
            self._checkpoints[checkpoint] = dict(state)
        elif known != state:
            raise LawBroken(f"checkpoint {checkpoint} changed: {_difference(known, state)}")

    def _placed(self, state: State, low: int, who: str) -> int:
        """Return the first position >= low of the trunk that has the state, and mark it seen."""
        for branch in self._trunk:
            n = branch.find(state, max(low - branch.offset, 0), branch.cut)
            if n is not None:
                branch.seen = max(branch.seen, n)
                return branch.offset + n
        branch = next(b for b in reversed(self._trunk) if b.offset <= low)
        raise LawBroken(
            f"{who} sees no state after {low} writes or more: "
            + self._unlike(branch, state, low - branch.offset)
        )

    def feed(self, who: str, fed: Sequence[tuple[int, Sequence[Change]]]) -> None:
        """Check what a change feed gave, when all writers have ended. Law 6."""
        trunk: list[tuple[int, Sequence[Change]]] = []
        least = 0
        for branch in self._trunk:
            if not branch.seqs:
                continue
            while len(trunk) > least and trunk[-1][0] >= branch.seqs[0]:
                trunk.pop()  # it undid the one before, and was lost after all
            least = len(trunk) + branch.cut_min
            trunk += list(zip(branch.seqs, branch.changes, strict=True))[: branch.cut]
        seqs = [seq for seq, _ in trunk]
        if seqs != sorted(set(seqs)):
            raise LawBroken(f"the sequence numbers of the trunk do not rise: {seqs}")
        if not fed:
            return
        self.views += 1
        begin = seqs.index(fed[0][0]) if fed[0][0] in seqs else 0
        for given, written in zip_longest(fed, trunk[begin : begin + len(fed)]):
            if given is None or written is None or given[0] != written[0]:
                raise LawBroken(f"{who} gives {given}, not {written}")
            if sorted(given[1], key=_by_key) != sorted(written[1], key=_by_key):
                raise LawBroken(f"{who} gives {given}, not {written}")

    # Saying so.

    def _check_sum(self, state: State, who: str) -> None:
        accounts = [value for key, value in state.items() if key.startswith(ACCOUNT)]
        if self._bank_sum is None or not accounts:
            return
        found = sum(int(value) for value in accounts)
        if found != self._bank_sum:
            raise LawBroken(f"{who} sees {found} in the bank, not {self._bank_sum}")

    def _unlike(self, branch: Branch, state: State, low: int) -> str:
        """Say what the state has and the nearest expected one has not, and the reverse."""
        everywhere = [
            f"it is that after write {n} of epoch {each.epoch}"
            for each in self._trunk
            for n in each.places.get(frozenset(state.items()), ())
        ]
        if everywhere:
            return "; ".join(everywhere[:_SHOWN_MAX])
        later = branch.states[min(low, branch.published) :]
        nearest = min(later, key=lambda each: len(_differing(each, state)))
        return f"the nearest is write {branch.states.index(nearest)}: {_difference(nearest, state)}"


def _by_key(change: Change) -> bytes:
    return change.key


def _differing(one: State, other: State) -> list[bytes]:
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]


def _difference(expected: State, found: State) -> str:
    lines = [
        f"{key!r} is {found.get(key)!r}, not {expected.get(key)!r}"
        for key in _differing(expected, found)
    ]
    more = [f"and {len(lines) - _SHOWN_MAX} more"] if len(lines) > _SHOWN_MAX else []
    return ", ".join(lines[:_SHOWN_MAX] + more)
