"""A database of our own encoding, put into a directory file by file."""

from __future__ import annotations

from pathlib import Path

from cenote.base import ManualClock, SeededRand
from cenote.lsm import MERGE, PUT, TOMBSTONE, Row, row_order
from cenote.lsm.format import (
    FENCE,
    Codec,
    Compactions,
    Manifest,
    SortedRun,
    SstHandle,
    SstLayout,
    SstView,
    Tree,
    UlidMint,
    compactions_name,
    encode_compactions,
    encode_manifest,
    encode_sst,
    encode_tracker,
    encode_wal,
    manifest_name,
    table_name,
    wal_name,
)

NOW_MS = 1_790_000_000_000


def batch(seq: int, start: int, stop: int, step: int) -> list[Row]:
    """Return a batch of rows of every kind, in the order of their keys."""
    rows: list[Row] = []
    for n in range(start, stop, step):
        expire = NOW_MS + 10**12 if n % 7 == 0 else None
        if n % 10 == 9:
            rows.append((b"key:%06d" % n, b"", seq, TOMBSTONE, NOW_MS + seq, None))
        elif n % 10 == 8:
            rows.append((b"sum:%06d" % n, b"%d" % seq, seq, MERGE, NOW_MS + seq, expire))
        else:
            rows.append((b"key:%06d" % n, b"value %d " % seq * (n % 9), seq, PUT, NOW_MS, expire))
    rows.append((b"long", bytes(range(256)) * 300, seq, PUT, None, None))
    return sorted(rows, key=row_order)


def build_database(root: Path, codec: Codec) -> None:
    """Write two tables of a run, two of level 0, a fence, two logs, and the files above them."""
    mint = UlidMint(ManualClock(NOW_MS), SeededRand(7))
    layout = SstLayout(codec=codec, filter_rows_min=100)
    files: dict[str, bytes] = {}
    handles: list[SstHandle] = []

    def table(rows: list[Row]) -> SstView:
        made, ulid = encode_sst(rows, layout), mint.mint()
        files[table_name(ulid)] = made.data
        handles.append(SstHandle(ulid, made.info, made.version))
        return SstView(ulid, ulid)

    oldest = batch(1, 0, 3000, 1)
    run = SortedRun(0, (table(oldest[:1500]), table(oldest[1500:])))
    both = sorted([*batch(2, 0, 900, 2), *batch(3, 0, 900, 3)], key=row_order)
    l0 = table(both)
    manifest = Manifest(
        writer_epoch=1,
        compactor_epoch=1,
        replay_after_wal_id=3,
        wal_id_last_seen=3,
        last_l0_clock_tick=NOW_MS + 3,
        last_l0_seq=3,
        recent_snapshot_min_seq=3,
        sequence_tracker=encode_tracker([(1, NOW_MS // 1000), (3, NOW_MS // 1000 + 61)]),
        tree=Tree((l0,), (run,)),
        ssts=tuple(handles),
    )
    files[manifest_name(1)] = encode_manifest(manifest)
    files[compactions_name(1)] = encode_compactions(Compactions(1))
    files[wal_name(4)] = FENCE
    files[wal_name(5)] = encode_wal([*batch(4, 0, 90, 1), *batch(5, 50, 60, 1)], codec).data
    files[wal_name(6)] = encode_wal(batch(6, 3000, 3100, 1), codec).data
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
