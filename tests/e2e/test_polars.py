"""polars (the Rust object_store): write, scan with a filter, sink in parts, globs."""

import random

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def options(need_module, endpoint, monkeypatch):
    need_module("polars")
    # polars sends up to 32 MiB in one piece if it is left alone, and reads this when it starts.
    monkeypatch.setenv("POLARS_UPLOAD_CHUNK_SIZE", "6000000")
    return {
        "aws_access_key_id": endpoint.access_key,
        "aws_secret_access_key": endpoint.secret_key,
        "aws_region": endpoint.region,
        "aws_endpoint_url": endpoint.url,
        "aws_allow_http": "true",
    }


def test_parquet_is_written_and_scanned_with_a_filter(options, bucket) -> None:
    import polars

    frame = polars.DataFrame({"n": range(10_000), "t": [f"ü{n}" for n in range(10_000)]})
    for number in range(3):
        frame.with_columns(part=polars.lit(number)).write_parquet(
            f"s3://{bucket}/frames/part {number}.parquet", storage_options=options
        )
    one = polars.scan_parquet(f"s3://{bucket}/frames/part 1.parquet", storage_options=options)
    found = one.filter(polars.col("n") >= 9_998).collect()
    assert found["t"].to_list() == ["ü9998", "ü9999"]
    every = polars.scan_parquet(f"s3://{bucket}/frames/*.parquet", storage_options=options)
    assert every.select(polars.col("part").sum()).collect().item() == 30_000


def test_a_large_sink_goes_up_in_parts(options, s3, bucket) -> None:
    import polars

    rng = random.Random(11)
    frame = polars.DataFrame({"n": [rng.getrandbits(62) for _ in range(200_000)]})
    wide = frame.with_columns(*((polars.col("n") * k).alias(f"n{k}") for k in range(2, 12)))
    where = f"s3://{bucket}/sunk.parquet"
    wide.lazy().sink_parquet(where, storage_options=options, compression="uncompressed")
    head = s3.head_object(Bucket=bucket, Key="sunk.parquet")
    assert head["ContentLength"] > 10_000_000
    assert "-" in head["ETag"]
    assert polars.read_parquet(where, storage_options=options).equals(wide)
