"""Objects of the user's own that some databases need, named on the command line.

Owns: `MODULE:NAME` made an object: a merge operator, a segment extractor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, TypeVar

import click

from cenote.errors import InvalidError

__all__ = ["extractor_option", "load_object", "operator_option"]

F = TypeVar("F", bound=Callable[..., Any])


def operator_option(function: F) -> F:
    """Add --merge-operator, given to the command as `operator`."""
    return _option(
        function,
        "--merge-operator",
        "operator",
        "The operator the database was written with.",
    )


def extractor_option(function: F) -> F:
    """Add --segment-extractor, given to the command as `extractor`."""
    return _option(
        function, "--segment-extractor", "extractor", "The extractor of a database with segments."
    )


def _option(function: F, flag: str, name: str, words: str) -> F:
    @click.option(flag, name, metavar="MODULE:NAME", help=words)
    @wraps(function)
    def wrapped(**arguments: Any) -> Any:
        named = arguments.pop(name)
        found = None if named is None else load_object(named)
        return function(**arguments, **{name: found})

    return wrapped  # type: ignore[return-value]


def load_object(named: str) -> Any:
    """Import MODULE, from the working directory too, and return what NAME is; a class is called.

    Raises InvalidError.
    """
    module, _, name = named.partition(":")
    if not module or not name:
        raise InvalidError(f"{named!r} is not of the form MODULE:NAME", kind="invalid_object")
    here = os.getcwd()  # noqa: PTH109 - sys.path holds text
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidError(f"{named!r}: {error}", kind="invalid_object") from error
    return found() if isinstance(found, type) else found
