"""When a writer's compactor that was fenced takes its place again.

Owns: watching whether somebody compacts, the claim.
Does not own: compacting.

Another compactor may have come for one compaction only, by hand, and gone. Then level 0 fills up,
and the writer would wait for ever. So while level 0 is full, the files are watched; when nothing
in them moves for as long as a silent worker is believed to live, the epoch is claimed anew.

Invariants:
1. As long as level 0 is not full, nothing is asked for. A compactor that does anything at all in
   time is left alone.
2. A writer that was fenced itself claims nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cenote.lsm.compact.job import Tools
from cenote.lsm.compact.setup import claim_compactor
from cenote.lsm.manifest.store import check_epochs

if TYPE_CHECKING:
    from cenote.lsm.writer import Writer

__all__ = ["Comeback"]


class Comeback:
    """Watches for a fenced compactor of `writer`. Not thread-safe."""

    def __init__(self, tools: Tools, writer: Writer) -> None:
        self._tools = tools
        self._writer = writer
        self._patience = tools.settings.claim_timeout_ms / 1000
        self._poll = tools.settings.poll_ms / 1000
        self._seen: Any = None
        self._still_since = 0.0
        self._look_at = 0.0

    def due(self, now: float) -> float | None:
        """Return when to look; None: level 0 is not full."""
        if not self._writer.l0_full:
            return None
        return max(now, self._look_at)

    def claim(self) -> int | None:
        """Look whether anything moved; when it is time, claim the epoch and return it.

        Raises ClosedError(reason="fenced") when the writer was fenced, UnavailableError.
        """
        tools = self._tools
        now = tools.clock.monotonic()
        if not self._writer.l0_full:
            self._seen = None
            return None
        if now < self._look_at:
            return None
        self._look_at = now + self._poll
        manifest = tools.manifests.refresh().value
        check_epochs(manifest, writer_epoch=self._writer.epoch)
        compactions = tools.compactions.load()
        seen = (
            manifest.compactor_epoch,
            [tree.runs for tree in manifest.trees()],
            None if compactions is None else compactions.number,
        )
        if self._seen != seen:
            self._seen, self._still_since = seen, now
            return None
        if now - self._still_since < self._patience:
            return None
        self._seen = None
        epoch = claim_compactor(tools.manifests).value.compactor_epoch
        self._writer.compactor_epoch = epoch
        return epoch
