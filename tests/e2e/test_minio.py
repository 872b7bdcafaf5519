"""The `minio` package: its own signer, parts of unknown length, composing, bulk removal, tags."""

import datetime
import io
import random
import urllib.request

import pytest

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture
def minio(need_module, endpoint):
    need_module("minio")
    from minio import Minio

    client = Minio(
        endpoint.address,
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        secure=False,
    )
    yield client
    client._http.clear()


def _read(minio, *where, **options) -> bytes:
    answer = minio.get_object(*where, **options)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def test_buckets(minio, bucket) -> None:
    other = f"{bucket}-made"
    assert not minio.bucket_exists(bucket_name=other)
    minio.make_bucket(bucket_name=other)
    assert minio.bucket_exists(bucket_name=other)
    assert {bucket, other} <= {found.name for found in minio.list_buckets()}
    minio.remove_bucket(bucket_name=other)
    assert not minio.bucket_exists(bucket_name=other)


def test_a_stream_of_unknown_length_goes_up_in_parts(minio, bucket) -> None:
    body = random.Random(8).randbytes(13 * MIB)
    minio.put_object(
        bucket_name=bucket, object_name="big", data=io.BytesIO(body), length=-1, part_size=5 * MIB
    )
    assert minio.stat_object(bucket_name=bucket, object_name="big").etag.endswith("-3")
    assert _read(minio, bucket_name=bucket, object_name="big") == body
    cut = _read(minio, bucket_name=bucket, object_name="big", offset=6 * MIB, length=1000)
    assert cut == body[6 * MIB : 6 * MIB + 1000]


def test_files_metadata_tags_and_presigned(minio, bucket, tmp_path) -> None:
    from minio.commonconfig import Tags

    (tmp_path / "f").write_text("file")
    tags = Tags.new_object_tags()
    tags["kind"] = "test value"
    name = "ünï/a b+c.txt"
    minio.fput_object(
        bucket_name=bucket,
        object_name=name,
        file_path=str(tmp_path / "f"),
        content_type="text/x-e2e",
        tags=tags,
    )
    found = minio.stat_object(bucket_name=bucket, object_name=name)
    assert (found.size, found.content_type) == (4, "text/x-e2e")
    assert minio.get_object_tags(bucket_name=bucket, object_name=name) == {"kind": "test value"}
    minio.fget_object(bucket_name=bucket, object_name=name, file_path=str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "file"
    expires = datetime.timedelta(minutes=1)
    url = minio.presigned_get_object(bucket_name=bucket, object_name=name, expires=expires)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"file"


def test_copy_compose_list_and_remove_many(minio, bucket) -> None:
    from minio.commonconfig import ComposeSource, CopySource
    from minio.deleteobjects import DeleteObject

    bodies = {"p/one": b"a" * (5 * MIB), "p/two": b"b" * 10}
    for name, body in bodies.items():
        minio.put_object(
            bucket_name=bucket, object_name=name, data=io.BytesIO(body), length=len(body)
        )
    minio.copy_object(
        bucket_name=bucket,
        object_name="p/copy",
        source=CopySource(bucket_name=bucket, object_name="p/two"),
    )
    minio.compose_object(
        bucket_name=bucket,
        object_name="whole",
        sources=[ComposeSource(bucket_name=bucket, object_name=name) for name in bodies],
    )
    assert _read(minio, bucket_name=bucket, object_name="whole") == b"".join(bodies.values())
    top = [found.object_name for found in minio.list_objects(bucket_name=bucket)]
    assert sorted(top) == ["p/", "whole"]
    every = [found.object_name for found in minio.list_objects(bucket_name=bucket, recursive=True)]
    assert every == ["p/copy", "p/one", "p/two", "whole"]
    gone = minio.remove_objects(
        bucket_name=bucket, delete_object_list=[DeleteObject(name) for name in every]
    )
    assert list(gone) == []
    assert list(minio.list_objects(bucket_name=bucket, recursive=True)) == []


def test_a_missing_key_is_named(minio, bucket) -> None:
    from minio.error import S3Error

    with pytest.raises(S3Error) as caught:
        minio.get_object(bucket_name=bucket, object_name="absent")
    assert caught.value.code == "NoSuchKey"
