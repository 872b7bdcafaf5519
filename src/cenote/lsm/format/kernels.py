"""The loops that run once per row: the compiled ones where they are installed, else the plain ones.

Owns: the choice. Does not own: the loops (`kernels_plain`, `flat_plain`, `blocks_plain`,
`merger_plain`, `scanner_plain`, and their twins in the compiled module `_kernels`).

The environment variable CENOTE_KERNELS takes the choice: `plain`, or `compiled`, which is an
error where there is no compiled module. `kernels_in_use` tells what was chosen.

Invariants:
1. Both give the same bytes, the same values and the same errors: the same tests hold them to it.
2. A compiled module of another version of the source is as good as none.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from cenote.errors import InvalidError, UnsupportedError
from cenote.lsm.format import (
    blocks_plain,
    flat_plain,
    kernels_plain,
    merger_plain,
    scanner_plain,
)

if TYPE_CHECKING:
    from cenote.lsm.format.blocks_plain import BlockWriter, encode_log
    from cenote.lsm.format.flat_plain import decode_index, encode_index, encode_stats
    from cenote.lsm.format.kernels_plain import (
        bloom_build,
        bloom_contains,
        decode_block,
        decode_block_v1,
        decode_rows,
        encode_blocks,
        encode_row,
        find_in_block,
        shared_prefix,
        siphash13,
        varint,
    )
    from cenote.lsm.format.merger_plain import DONE, PIECE_READY, TABLE_FULL, Merger
    from cenote.lsm.format.scanner_plain import MORE, Scanner

__all__ = [
    "DONE",
    "MORE",
    "PIECE_READY",
    "TABLE_FULL",
    "BlockWriter",
    "Merger",
    "Scanner",
    "bloom_build",
    "bloom_contains",
    "decode_block",
    "decode_block_v1",
    "decode_index",
    "decode_rows",
    "encode_blocks",
    "encode_index",
    "encode_log",
    "encode_row",
    "encode_stats",
    "find_in_block",
    "kernels_in_use",
    "shared_prefix",
    "siphash13",
    "varint",
]

_PLAIN: Final = (kernels_plain, flat_plain, blocks_plain, merger_plain, scanner_plain)


def _compiled() -> Any:
    """Return the compiled module, or None. Raises InvalidError, UnsupportedError."""
    wanted = os.environ.get("CENOTE_KERNELS", "")
    if wanted not in ("", "plain", "compiled"):
        raise InvalidError(
            f"CENOTE_KERNELS is plain or compiled, not {wanted!r}", kind="invalid_setting"
        )
    if wanted == "plain":
        return None
    try:
        found = import_module("cenote.lsm.format._kernels")
    except ImportError as fault:
        if wanted == "compiled":
            raise UnsupportedError(
                "the compiled kernels are not installed",
                kind="kernels_missing",
                hint="install with a C compiler at hand, or unset CENOTE_KERNELS",
            ) from fault
        return None
    if found.VERSION != kernels_plain.VERSION:
        if wanted == "compiled":
            raise UnsupportedError(
                "the compiled kernels are of another version",
                kind="kernels_missing",
                hint="install cenote again",
            )
        return None
    return found


_chosen: Final = _compiled()

for _module in _PLAIN:
    for _name in _module.__all__:
        globals()[_name] = getattr(_chosen, _name, getattr(_module, _name))


def kernels_in_use() -> str:
    """Return `compiled` or `plain`."""
    return "plain" if _chosen is None else "compiled"
