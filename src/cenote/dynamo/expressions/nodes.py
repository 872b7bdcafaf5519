"""What expressions are, as values: paths, operands, conditions, changes.

Owns: the closed sets of nodes. Does not own: how they are parsed or evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass

from cenote.dynamo.values import Value

__all__ = [
    "Always",
    "And",
    "Arithmetic",
    "BeginsWith",
    "Between",
    "Compare",
    "Condition",
    "Contains",
    "Exists",
    "HasType",
    "IfNotExists",
    "In",
    "ListAppend",
    "Literal",
    "Not",
    "Operand",
    "Or",
    "Path",
    "PathOf",
    "SetOperand",
    "Size",
    "Update",
    "show_path",
]

Path = tuple[str | int, ...]
"""An attribute's name, then names in maps and places in lists."""


def show_path(path: Path) -> str:
    """Return a path as error messages write it."""
    return "[" + ", ".join(f"[{step}]" if isinstance(step, int) else step for step in path) + "]"


@dataclass(frozen=True, slots=True)
class PathOf:
    """The value at a path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that was given, and the placeholder it was given by."""

    value: Value
    name: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of the value at a path."""

    path: Path


Operand = PathOf | Literal | Size


@dataclass(frozen=True, slots=True)
class Compare:
    """Two operands and one of = <> < <= > >=."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Between:
    """low <= operand <= high."""

    operand: Operand
    low: Operand
    high: Operand


@dataclass(frozen=True, slots=True)
class In:
    """Whether the operand equals one of some."""

    operand: Operand
    options: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether there is an attribute at a path, or (`wanted` False) none."""

    path: Path
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class HasType:
    """Whether the value at a path is of a type."""

    path: Path
    type: Operand


@dataclass(frozen=True, slots=True)
class BeginsWith:
    """Whether a string or binary starts with another."""

    whole: Operand
    start: Operand


@dataclass(frozen=True, slots=True)
class Contains:
    """Whether a string has a substring, or a set or list a member."""

    whole: Operand
    part: Operand


@dataclass(frozen=True, slots=True)
class And:
    """Both."""

    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Or:
    """At least one."""

    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Always:
    """No condition."""


Condition = (
    Compare | Between | In | Exists | HasType | BeginsWith | Contains | And | Or | Not | Always
)


@dataclass(frozen=True, slots=True)
class IfNotExists:
    """The value at a path, or another when there is none."""

    path: Path
    otherwise: SetOperand


@dataclass(frozen=True, slots=True)
class ListAppend:
    """Two lists as one."""

    left: SetOperand
    right: SetOperand


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A sum (operator "+") or a difference ("-") of numbers."""

    operator: str
    left: SetOperand
    right: SetOperand


SetOperand = PathOf | Literal | IfNotExists | ListAppend | Arithmetic


@dataclass(frozen=True, slots=True)
class Update:
    """What an update does: all of it sees the item as it was before."""

    sets: tuple[tuple[Path, SetOperand], ...] = ()
    removes: tuple[Path, ...] = ()
    adds: tuple[tuple[Path, Literal], ...] = ()
    deletes: tuple[tuple[Path, Literal], ...] = ()
