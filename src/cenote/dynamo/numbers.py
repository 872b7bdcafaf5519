"""Numbers: up to 38 significant digits, exact.

Owns: reading, limits, the canonical form, how many bytes one counts, sums.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html

Invariants:
1. A number is a Decimal without trailing zeros in its digits; equal numbers are equal values.
2. Its magnitude is 0, or at least 1E-130 and below 1E126.
"""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from typing import Final

from cenote.dynamo.codes import invalid

__all__ = ["add", "number_size", "parse_number", "render_number", "subtract"]

_DIGITS_MAX: Final = 38
_LARGEST: Final = 125
_SMALLEST: Final = -130
_FORM: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,6})?", re.ASCII)
_TEXT_MAX: Final = 1000
_EXACT: Final = Context(prec=400, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation, Inexact])


def parse_number(text: str) -> Decimal:
    """Return the number that `text` writes, spaces around it allowed.

    Raises DynamoError (ValidationException) for what is no number, has too many digits, or is too
    large or too small.
    """
    stripped = text.strip()
    if len(text) > _TEXT_MAX or not _FORM.fullmatch(stripped):
        raise invalid(f"The parameter cannot be converted to a numeric value: {text[:100]}")
    return _checked(Decimal(stripped))


def _checked(number: Decimal) -> Decimal:
    if not number:
        return Decimal(0)
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise invalid(f"The parameter cannot be converted to a numeric value: {number}")
    kept = len(digits)
    while digits[kept - 1] == 0:
        kept -= 1
    start = 0
    while digits[start] == 0:
        start += 1
    exponent += len(digits) - kept
    digits = digits[start:kept]
    magnitude = exponent + len(digits) - 1
    if magnitude > _LARGEST:
        raise invalid(
            "Number overflow. Attempting to store a number with magnitude larger than supported "
            "range"
        )
    if magnitude < _SMALLEST:
        raise invalid(
            "Number underflow. Attempting to store a number with magnitude smaller than supported "
            "range"
        )
    if len(digits) > _DIGITS_MAX:
        raise invalid("Attempting to store more than 38 significant digits in a Number")
    return Decimal((sign, digits, exponent))


def render_number(number: Decimal) -> str:
    """Return a number as the service writes it: plain digits, no exponent, no needless zeros."""
    return f"{number:f}"


def number_size(number: Decimal) -> int:
    """Return how many bytes a number counts in an item: two digits a byte, one more, and a sign."""
    digits = len(number.as_tuple().digits)
    return (digits + 1) // 2 + 1 + (number < 0)


def add(a: Decimal, b: Decimal) -> Decimal:
    """Return the exact sum. Raises as `parse_number` when it does not fit."""
    return _checked(_EXACT.add(a, b))


def subtract(a: Decimal, b: Decimal) -> Decimal:
    """Return the exact difference. Raises as `parse_number` when it does not fit."""
    return _checked(_EXACT.subtract(a, b))
