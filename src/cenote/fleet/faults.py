"""Errors as values, so that they reach the process whose call they answer.

Owns: the closed table of classes that travel.

What was not raised on purpose arrives as a bare `Error`: its traceback stays in the log of the
process where it happened.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from cenote import errors
from cenote.errors import ClosedError, Error, UnavailableError

__all__ = ["Fault", "fault_of"]

_CLASSES: Final[dict[str, type[Error]]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, Error)
}
_PLAIN: Final = (str, int, float, bool, type(None))


class Fault(Struct, frozen=True, array_like=True):
    """An error of `cenote.errors`: its class's name and all its fields."""

    name: str
    message: str
    kind: str
    hint: str | None
    context: dict[str, str | int | float | bool | None]
    effect_unknown: bool = False
    reason: str = ""

    def error(self) -> Error:
        """Make the error again. A class nobody knows becomes `Error`."""
        kind = _CLASSES.get(self.name, Error)
        fields: dict[str, Any] = dict(self.context)
        if issubclass(kind, ClosedError):
            return kind(self.message, reason=self.reason, **fields)
        fields["kind"], fields["hint"] = self.kind, self.hint
        if issubclass(kind, UnavailableError):
            return kind(self.message, effect_unknown=self.effect_unknown, **fields)
        return kind(self.message, **fields)


def fault_of(error: BaseException) -> Fault:
    """Return an error as a value."""
    if not isinstance(error, Error):
        return Fault("Error", f"unforeseen: {type(error).__name__}", "internal", None, {})
    context = {
        name: value if isinstance(value, _PLAIN) else str(value)
        for name, value in error.context.items()
    }
    return Fault(
        name=type(error).__name__,
        message=error.message,
        kind=error.kind,
        hint=error.hint,
        context=context,
        effect_unknown=isinstance(error, UnavailableError) and error.effect_unknown,
        reason=error.reason if isinstance(error, ClosedError) else "",
    )
