"""DuckDB's httpfs: COPY to the bucket, globs, hive partitions, an upload in parts.

DuckDB fetches its extensions over the network; the PyPI package `duckdb-extension-httpfs` has the
one for its DuckDB inside, so that is what is loaded.
"""

from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def duck(need_module, endpoint):
    need_module("duckdb")
    need_module("duckdb_extension_httpfs", "duckdb-extension-httpfs")
    import duckdb
    import duckdb_extension_httpfs

    extensions = Path(duckdb_extension_httpfs.__file__).parent / "extensions"
    (extension,) = extensions.rglob("httpfs.duckdb_extension")
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    connection.execute(f"LOAD '{extension}'")
    connection.execute(
        f"""CREATE SECRET (TYPE s3, KEY_ID '{endpoint.access_key}',
        SECRET '{endpoint.secret_key}', REGION '{endpoint.region}',
        ENDPOINT '{endpoint.address}', URL_STYLE 'path', USE_SSL false)"""
    )
    yield connection
    connection.close()


def test_parquet_is_written_and_read_by_ranges(duck, s3, bucket) -> None:
    where = f"s3://{bucket}/numbers ü.parquet"
    duck.execute(f"COPY (SELECT i, i * i AS square FROM range(300000) t(i)) TO '{where}'")
    total = duck.execute(f"SELECT count(*), sum(square) FROM '{where}' WHERE i < 1000").fetchone()
    assert total == (1000, sum(i * i for i in range(1000)))
    assert s3.head_object(Bucket=bucket, Key="numbers ü.parquet")["ContentLength"] > 1000


def test_partitions_are_found_by_a_glob(duck, bucket) -> None:
    duck.execute(
        f"""COPY (SELECT i, i % 4 AS part, 'text ' || i AS t FROM range(1000) t(i))
        TO 's3://{bucket}/parts' (FORMAT csv, PARTITION_BY (part))"""
    )
    rows = duck.execute(
        f"SELECT part, count(*) FROM read_csv('s3://{bucket}/parts/*/*.csv',"
        " hive_partitioning = true) WHERE part > 1 GROUP BY part ORDER BY part"
    ).fetchall()
    assert rows == [(2, 250), (3, 250)]
    listed = duck.execute(f"SELECT count(*) FROM glob('s3://{bucket}/**')").fetchone()
    assert listed == (4,)


def test_a_large_result_goes_up_in_parts(duck, s3, bucket) -> None:
    # DuckDB's part size is this over 10,000 parts: 5 MB.
    duck.execute("SET s3_uploader_max_filesize = '50GB'")
    where = f"s3://{bucket}/large.csv"
    duck.execute(f"COPY (SELECT i, md5(i::VARCHAR) AS h FROM range(500000) t(i)) TO '{where}'")
    head = s3.head_object(Bucket=bucket, Key="large.csv")
    assert int(head["ETag"].strip('"').partition("-")[2]) > 1
    assert duck.execute(f"SELECT count(DISTINCT h) FROM '{where}'").fetchone() == (500000,)


def test_a_missing_object_is_an_error(duck, bucket) -> None:
    import duckdb

    with pytest.raises(duckdb.HTTPException):
        duck.execute(f"SELECT * FROM 's3://{bucket}/absent.parquet'")
