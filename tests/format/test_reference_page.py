"""The example in the reference page is what the encoder makes."""

from __future__ import annotations

import re
from pathlib import Path

from cenote.lsm import MERGE, PUT, TOMBSTONE, Entry
from cenote.lsm.format import SstLayout, encode_sst

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "database-files.md"


def test_the_example_is_a_table() -> None:
    found = re.search(r"```hex\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found
    lines = [re.match(r"(?:[0-9a-f]{2} )*[0-9a-f]{2}", line) for line in found[1].splitlines()]
    shown = bytes.fromhex("".join(line[0] for line in lines if line))
    rows = [
        Entry(b"apple", b"red", 3, PUT, 1_700_000_000_000),
        Entry(b"apply", b"", 2, TOMBSTONE, 1_700_000_000_000),
        Entry(b"banana", b"+1", 1, MERGE, 1_700_000_000_000, 1_800_000_000_000),
    ]
    made = encode_sst(rows, SstLayout(filters=()))
    assert made.data[: made.info.data_size] == shown
