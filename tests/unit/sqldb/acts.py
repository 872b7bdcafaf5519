"""What tests of the backend do again and again, in a line each."""

from __future__ import annotations

import hashlib

from cenote.base.digest import digest_base64
from cenote.ports import Change, Checksum, IndexTxn, ObjectRecord, StagedBody
from cenote.sqldb import BucketFile


def stage(bucket: BucketFile, data: bytes, piece: int = 1 << 20) -> StagedBody:
    writer = bucket.bodies.writer(len(data), ("CRC64NVME",))
    for at in range(0, len(data), piece):
        writer.write(data[at : at + piece])
    return writer.finish()


def putting(key: str, staged: StagedBody) -> Change[int]:
    def change(txn: IndexTxn) -> int:
        body = txn.add_body(staged)
        txn.put_object(
            ObjectRecord(
                key,
                staged.size,
                staged.md5.hex(),
                modified_ms=1,
                body=body,
                checksum=Checksum(
                    "CRC64NVME", "FULL_OBJECT", digest_base64(staged.checksums["CRC64NVME"])
                ),
            )
        )
        return body

    return change


def put(bucket: BucketFile, key: str, data: bytes) -> int:
    return bucket.index.commit(putting(key, stage(bucket, data)))


def delete(bucket: BucketFile, key: str) -> None:
    bucket.index.commit(lambda txn: txn.delete_object(key))


def get(bucket: BucketFile, key: str) -> bytes | None:
    found = bucket.bodies.lease(key)
    if found is None:
        return None
    record, lease = found
    with lease:
        data = b"".join(lease.chunks(0, lease.size))
    assert len(data) == record.size
    assert hashlib.md5(data).hexdigest() == record.etag or record.part_count
    return data


def keys(bucket: BucketFile) -> list[str]:
    with bucket.index.read() as view:
        return [summary.key for summary in view.objects("", None, 10_000)]


def patterned(size: int, seed: int) -> bytes:
    """Return bytes that differ from place to place and from seed to seed."""
    block = hashlib.sha256(str(seed).encode()).digest()
    return (block * (size // len(block) + 1))[:size]
