"""obstore (the Rust object_store): create and update by etag, parts, copy, rename, ranges, list.

Storage engines build their manifests on exactly these calls, so the errors matter as much as the
answers.
"""

import random
import urllib.request
from datetime import timedelta

import pytest

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture
def store(need_module, endpoint, bucket):
    need_module("obstore")
    from obstore.store import S3Store

    return S3Store(
        bucket,
        endpoint=endpoint.url,
        access_key_id=endpoint.access_key,
        secret_access_key=endpoint.secret_key,
        region=endpoint.region,
        virtual_hosted_style_request=False,
        copy_if_not_exists="multipart",
        client_options={"allow_http": True},
    )


def test_create_and_update_by_etag(store) -> None:
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    first = obstore.put(store, "manifest", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "manifest", b"x", mode="create")
    second = obstore.put(store, "manifest", b"2", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(store, "manifest", b"x", mode={"e_tag": first["e_tag"]})
    assert obstore.head(store, "manifest")["e_tag"] == second["e_tag"]
    assert bytes(obstore.get(store, "manifest").bytes()) == b"2"


def test_parts_ranges_and_conditional_reads(store) -> None:
    import obstore
    from obstore.exceptions import NotModifiedError, PreconditionError

    body = random.Random(12).randbytes(16 * MIB + 5)
    put = obstore.put(
        store, "big ü", body, use_multipart=True, chunk_size=5 * MIB, attributes={"colour": "blue"}
    )
    assert put["e_tag"].endswith('-4"')
    got = obstore.get(store, "big ü")
    assert got.attributes["colour"] == "blue"
    assert bytes(got.bytes()) == body
    assert (
        bytes(obstore.get_range(store, "big ü", start=5 * MIB - 3, length=6))
        == (body[5 * MIB - 3 : 5 * MIB + 3])
    )
    cuts = obstore.get_ranges(store, "big ü", starts=[0, 9 * MIB], ends=[10, 9 * MIB + 10])
    assert [bytes(cut) for cut in cuts] == [body[:10], body[9 * MIB : 9 * MIB + 10]]
    suffix = obstore.get(store, "big ü", options={"range": {"suffix": 7}})
    assert bytes(suffix.bytes()) == body[-7:]
    with pytest.raises(NotModifiedError):
        obstore.get(store, "big ü", options={"if_none_match": put["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.get(store, "big ü", options={"if_match": '"other"'})


def test_a_writer_streams_in_parts_and_a_reader_seeks(store) -> None:
    import obstore

    body = random.Random(13).randbytes(11 * MIB)
    with obstore.open_writer(store, "written", buffer_size=5 * MIB) as sink:
        for start in range(0, len(body), MIB):
            sink.write(body[start : start + MIB])
    reader = obstore.open_reader(store, "written")
    reader.seek(10 * MIB)
    assert bytes(reader.read(100)) == body[10 * MIB : 10 * MIB + 100]
    assert b"".join(bytes(chunk) for chunk in obstore.get(store, "written").stream()) == body


def test_copy_and_rename_also_only_where_nothing_is(store) -> None:
    import obstore
    from obstore.exceptions import AlreadyExistsError, NotFoundError

    obstore.put(store, "dir/source", b"source")
    obstore.copy(store, "dir/source", "copy")
    obstore.copy(store, "dir/source", "fresh", overwrite=False)
    with pytest.raises(AlreadyExistsError):
        obstore.copy(store, "dir/source", "fresh", overwrite=False)
    obstore.rename(store, "copy", "dir/renamed")
    assert bytes(obstore.get(store, "dir/renamed").bytes()) == b"source"
    with pytest.raises((NotFoundError, FileNotFoundError)):
        obstore.head(store, "copy")


def test_list_delete_many_and_sign(store) -> None:
    import obstore

    names = [f"many/{n:04}" for n in range(1100)] + ["top", "with space/and+plus"]
    for name in names:
        obstore.put(store, name, name.encode())
    every = [entry["path"] for page in obstore.list(store, chunk_size=100) for entry in page]
    assert every == sorted(names)
    after = [e["path"] for page in obstore.list(store, "many", offset="many/1097") for e in page]
    assert after == ["many/1098", "many/1099"]
    folded = obstore.list_with_delimiter(store)
    assert list(folded["common_prefixes"]) == ["many", "with space"]
    assert [entry["path"] for entry in folded["objects"]] == ["top"]
    url = obstore.sign(store, "GET", "with space/and+plus", timedelta(minutes=1))
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"with space/and+plus"
    obstore.delete(store, names)
    assert [entry for page in obstore.list(store) for entry in page] == []
