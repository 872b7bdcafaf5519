"""pyarrow's own S3 file system (the AWS C++ SDK): data sets, streams in parts, moves."""

import random

import pytest

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture
def fs(need_module, endpoint):
    need_module("pyarrow")
    from pyarrow.fs import S3FileSystem

    return S3FileSystem(
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        region=endpoint.region,
        endpoint_override=endpoint.address,
        scheme="http",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )


def test_a_partitioned_dataset_is_written_and_read_with_a_filter(fs, bucket) -> None:
    import pyarrow
    import pyarrow.dataset

    table = pyarrow.table(
        {
            "year": [2020 + n % 3 for n in range(3000)],
            "name": [f"ünï {n}" for n in range(3000)],
            "value": [n * 0.5 for n in range(3000)],
        }
    )
    where = f"{bucket}/data set"
    partitioning = pyarrow.dataset.partitioning(
        pyarrow.schema([("year", pyarrow.int64())]), flavor="hive"
    )
    pyarrow.dataset.write_dataset(
        table, where, filesystem=fs, format="parquet", partitioning=partitioning
    )
    read = pyarrow.dataset.dataset(where, filesystem=fs, partitioning=partitioning)
    assert len(read.files) == 3
    found = read.to_table(filter=pyarrow.dataset.field("year") == 2021, columns=["name", "value"])
    wanted = table.filter(pyarrow.compute.equal(table["year"], 2021)).select(["name", "value"])
    assert found.sort_by("value").equals(wanted)


def test_a_stream_in_parts_and_reads_at_offsets(fs, s3, bucket) -> None:
    body = random.Random(10).randbytes(23 * MIB)
    with fs.open_output_stream(f"{bucket}/big", metadata={"Content-Type": "text/x-e2e"}) as sink:
        for start in range(0, len(body), MIB):
            sink.write(body[start : start + MIB])
    head = s3.head_object(Bucket=bucket, Key="big")
    assert "-" in head["ETag"]
    assert head["ContentType"] == "text/x-e2e"
    with fs.open_input_file(f"{bucket}/big") as source:
        assert source.size() == len(body)
        assert source.read_at(1000, 11 * MIB) == body[11 * MIB : 11 * MIB + 1000]
        assert source.read() == body


def test_directories_copies_moves_and_deletes(fs, bucket) -> None:
    from pyarrow.fs import FileSelector, FileType

    fs.create_dir(f"{bucket}/empty/dir", recursive=True)
    for name in ("a", "sub/b", "sub/c"):
        with fs.open_output_stream(f"{bucket}/top/{name}") as sink:
            sink.write(name.encode())
    kinds = {i.path: i.type for i in fs.get_file_info(FileSelector(bucket, recursive=True))}
    assert kinds == {
        f"{bucket}/empty": FileType.Directory,
        f"{bucket}/empty/dir": FileType.Directory,
        f"{bucket}/top": FileType.Directory,
        f"{bucket}/top/a": FileType.File,
        f"{bucket}/top/sub": FileType.Directory,
        f"{bucket}/top/sub/b": FileType.File,
        f"{bucket}/top/sub/c": FileType.File,
    }
    fs.copy_file(f"{bucket}/top/a", f"{bucket}/top/copy")
    fs.move(f"{bucket}/top/a", f"{bucket}/top/moved a")
    with fs.open_input_stream(f"{bucket}/top/moved a") as source:
        assert source.read() == b"a"
    assert fs.get_file_info(f"{bucket}/top/a").type == FileType.NotFound
    fs.delete_dir(f"{bucket}/top")
    assert fs.get_file_info(f"{bucket}/top").type == FileType.NotFound
    fs.create_dir(f"{bucket}-made")
    fs.delete_dir(f"{bucket}-made")
    assert fs.get_file_info(f"{bucket}-made").type == FileType.NotFound
