"""The `slatedb` package on demand: commands as lines of JSON on stdin, replies on stdout.

    python wheel_server.py DIR      DIR is the store; databases are paths in it

A line is [command, argument, ...]; a reply is {"ok": value} or {"error": message}. Bytes are hex.
Handles stay open between commands, so that a test can take turns with it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import slatedb.uniffi as slate
import wheel


class Server:
    def __init__(self, folder: str) -> None:
        builder = slate.ObjectStoreBuilder(slate.ObjectStoreType.LOCAL)
        builder.with_config("local_path", folder)
        self.store = builder.build()
        self.open: dict[str, Any] = {}

    def admin(self, root: str) -> Any:
        return slate.AdminBuilder(root, self.store).build()

    async def busy(self, root: str, rounds: int) -> int:
        """Write batches, flush, compact and collect without a pause; return the last number.

        A batch writes its number to ten keys, so that who reads a torn one sees two numbers.
        """
        options = {
            "poll_interval": "20ms",
            "commit_compacted_interval": "20ms",
            "worker.compactions_poll_interval": "20ms",
        }
        values = {f"compactor_options.{name}": value for name, value in options.items()}
        builder = slate.DbBuilder(root, self.store)
        builder.with_merge_operator(wheel.Concat())
        builder.with_settings(wheel.settings(**values))
        db = await builder.build()
        for number in range(rounds):
            batch = slate.WriteBatch()
            for key in range(10):
                batch.put(b"batch:%d" % key, b"%06d" % number)
            batch.put(b"row:%06d" % number, b"v" * 200)
            await db.write(batch)
            await db.flush()
            if number % 3 == 2:
                await db.flush_with_options(wheel.MEMTABLE)
            if number % 5 == 4:
                # Its compactor keeps its inputs for 15 minutes: let go of them at once.
                for each in await self.admin(root).list_checkpoints(None):
                    await self.admin(root).delete_checkpoint(each.id)
                await self.collect(root)
            await asyncio.sleep(0.01)
        await db.shutdown()
        return rounds - 1

    async def writer(self, name: str, root: str, segments: bool = False) -> None:
        builder = slate.DbBuilder(root, self.store)
        builder.with_merge_operator(wheel.Concat())
        if segments:
            builder.with_segment_extractor(wheel.FirstThree())
        builder.with_settings(wheel.settings())
        self.open[name] = await builder.build()

    async def reader(self, name: str, root: str, checkpoint: str | None, segments: bool) -> None:
        builder = slate.DbReaderBuilder(root, self.store)
        builder.with_merge_operator(wheel.Concat())
        mode = slate.ReaderMode
        builder.with_reader_mode(
            mode.FOLLOW_LATEST() if checkpoint is None else mode.CHECKPOINT(checkpoint)
        )
        if segments:
            builder.with_segment_extractor(wheel.FirstThree())
        builder.with_options(
            slate.ReaderOptions(
                manifest_poll_interval_ms=50,
                checkpoint_lifetime_ms=600_000,
                max_memtable_bytes=2**26,
                skip_wal_replay=False,
            )
        )
        self.open[name] = await builder.build()

    async def put(self, name: str, key: str, value: str) -> None:
        await self.open[name].put(bytes.fromhex(key), bytes.fromhex(value))

    async def merge(self, name: str, key: str, value: str) -> None:
        await self.open[name].merge(bytes.fromhex(key), bytes.fromhex(value))

    async def flush(self, name: str) -> None:
        await self.open[name].flush()

    async def flush_memtable(self, name: str) -> None:
        await self.open[name].flush_with_options(wheel.MEMTABLE)

    async def scan(self, name: str) -> dict[str, str]:
        return {k.hex(): v.hex() for k, v in (await wheel.scan(self.open[name])).items()}

    async def wait_for(self, name: str, key: str, value: str) -> bool:
        for _ in range(200):
            found = await self.open[name].get(bytes.fromhex(key))
            if found is not None and bytes(found).hex() == value:
                return True
            await asyncio.sleep(0.05)
        return False

    async def close(self, name: str) -> None:
        await self.open.pop(name).shutdown()

    async def checkpoint(
        self, root: str, name: str | None, lifetime_ms: int | None, source: str | None
    ) -> str:
        options = slate.CheckpointOptions(lifetime_ms=lifetime_ms, source=source, name=name)
        return (await self.admin(root).create_detached_checkpoint(options)).id

    async def checkpoints(self, root: str) -> list[list[Any]]:
        return [
            [each.id, each.manifest_id, each.expire_time_secs, each.create_time_secs, each.name]
            for each in await self.admin(root).list_checkpoints(None)
        ]

    async def drop_checkpoint(self, root: str, checkpoint: str) -> None:
        await self.admin(root).delete_checkpoint(checkpoint)

    async def manifest(self, root: str) -> dict[str, Any]:
        state = await self.admin(root).read_manifest(None)
        return {
            "id": state.id,
            "initialized": state.initialized,
            "external": [
                [each.path, each.source_checkpoint_id, each.final_checkpoint_id]
                for each in state.external_dbs
            ],
            "l0": len(state.l0),
            "runs": [each.id for each in state.compacted],
            "last_l0_seq": state.last_l0_seq,
            "replay_after": state.replay_after_wal_id,
            "next_wal": state.next_wal_sst_id,
        }

    async def clone(self, root: str, sources: list[list[Any]]) -> None:
        """`sources` are [path, checkpoint or None, start or None, end or None]."""
        specs = [
            slate.CloneSourceSpec(
                path=path,
                checkpoint=checkpoint,
                projection_range=None
                if start is None and end is None
                else slate.KeyRange(
                    start=None if start is None else bytes.fromhex(start),
                    start_inclusive=start is not None,
                    end=None if end is None else bytes.fromhex(end),
                    end_inclusive=False,
                ),
            )
            for path, checkpoint, start, end in sources
        ]
        builder = self.admin(root).create_clone_builder_from_source(specs[0])
        for spec in specs[1:]:
            builder.with_source(spec)
        await builder.build()

    async def collect(self, root: str) -> None:
        """Collect everything that may go, whatever its age.

        Without boundary files: in a directory it can make one, and not replace it.
        """
        at_once = slate.GarbageCollectorDirectoryOptions(
            interval_ms=None, min_age_ms=0, dry_run=False
        )
        options = slate.GarbageCollectorOptions(
            manifest_options=at_once,
            wal_options=at_once,
            compacted_options=at_once,
            compactions_options=at_once,
            detach_options=slate.GarbageCollectorScheduleOptions(interval_ms=None),
            disable_boundary_files=True,
        )
        await self.admin(root).run_gc_once(options)

    async def seconds(self, root: str, seqs: list[int], later: bool) -> list[int | None]:
        admin = self.admin(root)
        return [await admin.get_timestamp_for_sequence(seq, later) for seq in seqs]

    async def seqs(self, root: str, seconds: list[int], later: bool) -> list[int | None]:
        admin = self.admin(root)
        return [await admin.get_sequence_for_timestamp(second, later) for second in seconds]


async def main(folder: str) -> None:
    server = Server(folder)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *arguments = json.loads(line)
        try:
            reply = {"ok": await getattr(server, command)(*arguments)}
        except slate.Error as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
