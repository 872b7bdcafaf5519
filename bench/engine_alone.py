"""The engine of the `slatedb` package without its binding, as far as that can be seen from Python.

The binding copies bytes one at a time in a loop of Python. Another one could come any day, so its
cost is left out here: batches are built before the clock starts, and what a scan returns is counted
and not made into Python objects.
"""

from __future__ import annotations

from typing import Any

import slatedb.uniffi as slate
from slatedb.uniffi._slatedb_uniffi import slatedb as binding

from bench import engine_wheel
from bench.engine_data import Times, clocked, value

_Rows: Any = binding._UniffiFfiConverterSequenceTypeKeyValue


def _count_only(stream: Any) -> list[None]:
    count = stream.read_i32()
    stream.offset += stream.remaining()
    return [None] * count


class Engine(engine_wheel.Engine):
    """As the package's, without lowering and lifting."""

    async def batch(self, count: int, size: int) -> Times:
        names, body, write = self.fresh(count), value(3), self.db.write
        batches = []
        for at in range(0, count, size):
            batch = slate.WriteBatch()
            for name in names[at : at + size]:
                batch.put(name, body)
            batches.append(batch)

        async def work() -> None:
            for batch in batches:
                await write(batch)

        return await clocked(work, count)

    async def scan(self) -> Times:
        usual = _Rows.read
        _Rows.read = _count_only
        try:
            return await super().scan()
        finally:
            _Rows.read = usual
