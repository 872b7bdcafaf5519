"""Every change of a bucket there is, as a value one process can hand to another.

Owns: the closed list, which result each change has, and the staged body it brings.
Does not own: what the changes do (`objects`, `uploads`, `tables`), or how they travel.

Invariants:
1. A change that came from elsewhere does what the one it was made from would have done: it holds
   all it needs, and decides from its transaction alone.
2. Only what is listed here can be decoded: the bytes of a change never name code.

Why values and not pickled functions: a decoder of a closed union is seven times faster, and
cannot be talked into running anything else.
"""

from __future__ import annotations

from typing import Any, Final

from cenote.buckets.model import DeleteOutcome, WriteResult
from cenote.buckets.objects import (
    CopyAcrossChange,
    CopyChange,
    DeleteChange,
    DeleteManyChange,
    PutChange,
    TagsChange,
)
from cenote.buckets.tables import CloseChange
from cenote.buckets.uploads import (
    AbortChange,
    CompleteChange,
    CreateChange,
    PartChange,
    PartOfChange,
)
from cenote.ports import PartRecord, StagedBody, UploadRecord

__all__ = ["RESULTS", "AnyChange", "staged_of"]

AnyChange = (
    AbortChange
    | CloseChange
    | CompleteChange
    | CopyAcrossChange
    | CopyChange
    | CreateChange
    | DeleteChange
    | DeleteManyChange
    | PartChange
    | PartOfChange
    | PutChange
    | TagsChange
)

RESULTS: Final[dict[type[Any], Any]] = {
    AbortChange: None,
    CloseChange: None,
    CompleteChange: WriteResult,
    CopyAcrossChange: WriteResult,
    CopyChange: WriteResult,
    CreateChange: UploadRecord,
    DeleteChange: DeleteOutcome,
    DeleteManyChange: list[DeleteOutcome],
    PartChange: PartRecord,
    PartOfChange: PartRecord | None,
    PutChange: WriteResult,
    TagsChange: None,
}


def staged_of(change: AnyChange) -> StagedBody | None:
    """Return the staged body a change stores, if it brings one."""
    if isinstance(change, PutChange | PartChange | CopyAcrossChange):
        return change.staged
    return None
