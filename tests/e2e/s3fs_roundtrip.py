"""What a program on s3fs/fsspec does with a bucket; the first failed check ends it.

A program and no test: s3fs asks for another botocore than the current boto3, so it lives in an
environment of its own. Takes the endpoint and the bucket; prints "ok NAME" for each part.
"""

import random
import sys

import s3fs

MIB = 1024 * 1024


def main(url: str, bucket: str) -> None:
    fs = s3fs.S3FileSystem(
        endpoint_url=url,
        default_block_size=5 * MIB,
        config_kwargs={"s3": {"addressing_style": "path"}},
        skip_instance_cache=True,
    )

    fs.pipe(f"{bucket}/dir/ünï code+.txt", b"hello")
    assert fs.cat(f"{bucket}/dir/ünï code+.txt") == b"hello"
    assert fs.ls(f"{bucket}/dir") == [f"{bucket}/dir/ünï code+.txt"]
    assert fs.info(f"{bucket}/dir")["type"] == "directory"
    print("ok pipe")

    body = random.Random(9).randbytes(12 * MIB + 7)
    with fs.open(f"{bucket}/big.bin", "wb") as sink:
        for start in range(0, len(body), MIB):
            sink.write(body[start : start + MIB])
    with fs.open(f"{bucket}/big.bin", "rb") as source:
        source.seek(7 * MIB)
        assert source.read(1000) == body[7 * MIB : 7 * MIB + 1000]
        source.seek(0)
        assert source.read() == body
    print("ok parts")

    fs.pipe(f"{bucket}/appended", b"a" * (6 * MIB))
    with fs.open(f"{bucket}/appended", "ab") as sink:
        sink.write(b"tail")
    assert fs.size(f"{bucket}/appended") == 6 * MIB + 4
    assert fs.tail(f"{bucket}/appended", 5) == b"atail"
    print("ok append")

    with fs.open(f"{bucket}/once", "xb") as sink:
        sink.write(b"first")
    try:
        with fs.open(f"{bucket}/once", "xb") as sink:
            sink.write(b"second")
    except FileExistsError:
        pass
    else:
        raise AssertionError("an exclusive create succeeded twice")
    assert fs.cat(f"{bucket}/once") == b"first"
    print("ok exclusive")

    fs.copy(f"{bucket}/big.bin", f"{bucket}/copy.bin")
    fs.mv(f"{bucket}/copy.bin", f"{bucket}/moved/copy.bin")
    fs.invalidate_cache()
    assert not fs.exists(f"{bucket}/copy.bin")
    assert fs.checksum(f"{bucket}/moved/copy.bin")
    assert sorted(fs.glob(f"{bucket}/**/*.bin")) == [
        f"{bucket}/big.bin",
        f"{bucket}/moved/copy.bin",
    ]
    print("ok move")

    fs.setxattr(f"{bucket}/once", colour="blue")
    assert fs.getxattr(f"{bucket}/once", "colour") == "blue"
    fs.put_tags(f"{bucket}/once", {"kind": "test"})
    assert fs.get_tags(f"{bucket}/once") == {"kind": "test"}
    print("ok metadata")

    fs.rm(f"{bucket}/dir", recursive=True)
    fs.rm([f"{bucket}/big.bin", f"{bucket}/moved/copy.bin", f"{bucket}/once", f"{bucket}/appended"])
    fs.invalidate_cache()
    assert fs.find(bucket) == []
    print("ok remove")


if __name__ == "__main__":
    main(*sys.argv[1:])
