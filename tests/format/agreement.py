"""What must hold of every file that the `slatedb` package wrote."""

from __future__ import annotations

import json
from pathlib import Path

import model
from cenote.lsm.format import (
    BLOCK_SIZE,
    WAL_BLOCK_SIZE,
    BloomPolicy,
    Codec,
    SstLayout,
    decode_compactions,
    decode_manifest,
    decode_tracker,
    decode_wal,
    encode_compactions,
    encode_manifest,
    encode_sst,
    encode_tracker,
    encode_wal,
    open_sst,
)

POLICIES = {
    "_bf": (),
    "_bf:p=first3": (True,),
    "_bf:p=first3:wh=0": (False,),
}


def check_contents(root: Path) -> None:
    """Our decoders find in each database what the package found."""
    expected = json.loads((root / "expected.json").read_text())
    assert expected
    for name, rows in expected.items():
        wanted = {bytes.fromhex(key): bytes.fromhex(value) for key, value in rows.items()}
        assert wanted
        assert model.contents(root / name) == wanted, name
        manifest = model.last_manifest(root / name)
        for tree in manifest.trees():
            for view in tree.views():
                table = open_sst(model.table_path(root / name, manifest, view).read_bytes())
                told = next(each for each in manifest.ssts if each.id == view.sst_id)
                assert (told.info, told.version) == (table.info, table.version)


def policy_of(path: Path, name: str) -> BloomPolicy:
    """Return the policy that a filter of this name was made with."""
    bits = {"wide": 17, "narrow": 3}.get(path.parent.parent.name, 10)
    if name == "_bf":
        return BloomPolicy(bits)
    return BloomPolicy(bits, POLICIES[name][0], "first3", lambda key: key[:3] or None)


def check_table(path: Path) -> None:
    """A table holds together, and our encoder makes of its rows what the package made."""
    theirs = open_sst(path.read_bytes())
    assert theirs.check() > 0
    if theirs.version == 1:
        return
    rows = list(theirs.rows())
    filters = theirs.filters()
    policies = tuple(policy_of(path, name) for name in filters)
    place = path.parent.parent.name
    block_size = int(place) if place.isdigit() else BLOCK_SIZE
    layout = SstLayout(block_size, theirs.info.codec, policies, filter_rows_min=0)
    ours = open_sst(encode_sst(rows, layout).data)
    blocks = range(len(theirs))
    assert [ours.block(n) for n in blocks] == [theirs.block(n) for n in blocks]
    assert ours.index.first_keys == theirs.index.first_keys
    assert ours.filters() == filters
    assert ours.stats() == theirs.stats()
    if theirs.info.codec is Codec.NONE:
        size = theirs.info.data_size
        assert ours.data[:size] == theirs.data[:size]
        if theirs.info.filter_format == ours.info.filter_format:
            size = theirs.info.index_offset
            assert ours.data[:size] == theirs.data[:size]
    for row in rows[:: max(1, len(rows) // 20)]:
        assert theirs.find(row[0], row[2]) == row


def check_log(path: Path, block_size: int) -> None:
    """Our encoder makes of a log's rows what the package made."""
    data = path.read_bytes()
    rows = decode_wal(data)
    if not rows:
        return
    theirs = open_sst(data)
    if theirs.version == 1:
        return
    ours = open_sst(encode_wal(rows, theirs.info.codec, block_size).data)
    blocks = range(len(theirs))
    assert [ours.block(n) for n in blocks] == [theirs.block(n) for n in blocks]
    assert ours.index.first_keys == theirs.index.first_keys
    assert ours.info.first_entry == theirs.info.first_entry
    if theirs.info.codec is Codec.NONE:
        size = theirs.info.index_offset
        assert ours.data[:size] == theirs.data[:size]


def check_manifest(path: Path) -> None:
    """A manifest is known to its last field, and survives being written."""
    manifest = decode_manifest(path.read_bytes())
    assert manifest.unknown_fields == ()
    if manifest.sequence_tracker is not None:
        samples = decode_tracker(manifest.sequence_tracker)
        assert encode_tracker(samples) == manifest.sequence_tracker
    again = decode_manifest(encode_manifest(manifest))
    if manifest.version == 2:
        assert again == manifest


def check_compactions(path: Path) -> None:
    """A compactions file is known to its last field, and survives being written."""
    compactions = decode_compactions(path.read_bytes())
    assert compactions.unknown_fields == ()
    again = decode_compactions(encode_compactions(compactions))
    assert (again.compactor_epoch, again.recent) == (
        compactions.compactor_epoch,
        compactions.recent,
    )


def check_all(root: Path, wal_block_size: int = WAL_BLOCK_SIZE) -> None:
    """Check the contents and every file below `root`."""
    check_contents(root)
    for path in sorted(root.rglob("*")):
        match path.parent.name, path.suffix:
            case "compacted", ".sst":
                check_table(path)
            case "wal", ".sst":
                check_log(path, wal_block_size)
            case "manifest", ".manifest":
                check_manifest(path)
            case "compactions", ".compactions":
                check_compactions(path)
