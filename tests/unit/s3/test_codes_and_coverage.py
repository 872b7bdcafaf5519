"""The table of codes, and the table people read."""

import pytest

from cenote.s3 import CODES, OPS, S3Error, coverage_table, http_date
from cenote.s3.times import iso_date, read_iso_date


def test_codes_of_the_model_have_its_statuses():
    from botocore.loaders import Loader

    shapes = Loader().load_service_model("s3", "service-2")["shapes"]
    for name, shape in shapes.items():
        status = shape.get("error", {}).get("httpStatusCode")
        if status is not None and name in CODES:
            assert CODES[name][0] == status, name


def test_an_error_takes_status_and_words_from_the_table():
    error = S3Error("NoSuchKey", Key="k")
    assert (error.status, error.message) == (404, "The specified key does not exist.")
    assert error.extra == {"Key": "k"}
    assert S3Error("Strange", "words", status=418).status == 418
    with pytest.raises(KeyError):
        S3Error("Strange")


def test_coverage_names_every_operation():
    table = coverage_table()
    for op in OPS.values():
        assert op.name in table
    assert "| PutObject | `PUT /bucket/key` |" in table
    assert "| ListObjectsV2 | `GET /bucket?list-type=2` |" in table
    assert "PutBucketAbac" not in coverage_table(refused=False)


def test_dates_are_written_in_whole_seconds():
    assert iso_date(1_709_209_815_678) == "2024-02-29T12:30:15.000Z"
    assert http_date(1_709_209_815_678) == "Thu, 29 Feb 2024 12:30:15 GMT"
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2024-02-29T12:30:15Z", 1_709_209_815_000),
        ("2024-02-29T12:30:15.678Z", 1_709_209_815_678),
        ("20240229T123015Z", 1_709_209_815_000),
        ("2024-02-29T14:30:15+02:00", 1_709_209_815_000),
        ("2024-02-29", 1_709_164_800_000),
        ("1709209815", 1_709_209_815_000),
        ("Thu, 29 Feb 2024 12:30:15 GMT", 1_709_209_815_000),
        ("2023-02-29T00:00:00Z", None),
        ("2024-13-01", None),
        ("now", None),
        ("", None),
    ],
)
def test_dates_are_read_in_the_forms_clients_use(text, ms):
    assert read_iso_date(text) == ms
