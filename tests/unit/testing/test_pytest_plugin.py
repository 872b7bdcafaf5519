"""The pytest plugin, as a project that uses it sees it."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.timeout(120)


def outcome(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_each_test_has_a_bucket_and_a_table_of_its_own(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_fresh(s3_client, s3_bucket, dynamodb_table, number):
            assert "Contents" not in s3_client.list_objects_v2(Bucket=s3_bucket)
            assert dynamodb_table.scan()["Items"] == []
            s3_client.put_object(Bucket=s3_bucket, Key="key", Body=b"x" * number)
            dynamodb_table.put_item(Item={"pk": "a", "n": number})

        def test_what_others_had_is_gone(s3_client, dynamodb_client):
            assert s3_client.list_buckets()["Buckets"] == []
            assert dynamodb_client.list_tables()["TableNames"] == []

        def test_no_port_is_taken(cenote_server):
            assert cenote_server._background.running.port == 0
        """,
    )
    result.assert_outcomes(passed=4)


def test_a_marked_test_goes_by_a_port(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        import urllib.request
        import pytest

        @pytest.mark.cenote_socket
        def test_port(s3_client, s3_bucket, cenote_server):
            assert s3_client.meta.endpoint_url == cenote_server.endpoint
            s3_client.put_object(Bucket=s3_bucket, Key="key", Body=b"body")
            found = s3_client.get_object(Bucket=s3_bucket, Key="key")
            assert found["Body"].read() == b"body"
            assert urllib.request.urlopen(cenote_server.endpoint + "/health").status == 200
            assert cenote_server.environment()["AWS_ENDPOINT_URL"] == cenote_server.endpoint
        """,
        "--strict-markers",
    )
    result.assert_outcomes(passed=1)


def test_faults_happen_as_the_rules_say(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        import pytest
        from botocore.config import Config
        from botocore.exceptions import ClientError, ConnectionClosedError
        from botocore.exceptions import IncompleteReadError, ResponseStreamingError

        ONCE = Config(retries={"total_max_attempts": 1})

        @pytest.fixture(params=[False, True], ids=["inside", "port"])
        def client(cenote_server, request):
            return cenote_server.client("s3", socket=request.param, config=ONCE)

        def test_the_third_put(client, s3_bucket, cenote_faults, cenote_requests):
            rule = cenote_faults.status(503, operation="PutObject", on=3)
            answers = []
            for number in range(5):
                try:
                    client.put_object(Bucket=s3_bucket, Key=str(number), Body=b"")
                    answers.append(200)
                except ClientError as error:
                    answers.append(error.response["Error"]["Code"])
            assert answers == [200, 200, "SlowDown", 200, 200]
            assert rule.met == 1
            found = cenote_requests.sql(
                "SELECT key, status, fault FROM requests WHERE operation = 'PutObject'"
                " AND status <> 200"
            )
            assert found == [("2", 503, "status")]

        def keys(client, bucket):
            found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
            return [each["Key"] for each in found]

        def test_a_lost_reply(client, s3_bucket, cenote_faults):
            cenote_faults.lose_reply(operation="PutObject")
            with pytest.raises(ConnectionClosedError):
                client.put_object(Bucket=s3_bucket, Key="kept", Body=b"")
            assert keys(client, s3_bucket) == ["kept"]

        def test_a_reset(client, s3_bucket, cenote_faults):
            cenote_faults.reset(method="PUT", key="lo*")
            client.put_object(Bucket=s3_bucket, Key="kept", Body=b"")
            with pytest.raises(ConnectionClosedError):
                client.put_object(Bucket=s3_bucket, Key="lost", Body=b"x" * 100000)
            assert keys(client, s3_bucket) == ["kept"]

        def test_a_truncated_body(client, s3_bucket, cenote_faults):
            client.put_object(Bucket=s3_bucket, Key="key", Body=b"x" * 1000)
            cenote_faults.truncate(operation="GetObject")
            with pytest.raises(Exception):
                client.get_object(Bucket=s3_bucket, Key="key")["Body"].read()
            assert len(client.get_object(Bucket=s3_bucket, Key="key")["Body"].read()) == 1000

        def test_a_delay(client, s3_bucket, cenote_faults):
            rule = cenote_faults.delay(0.01, operation="PutObject", times=2)
            client.put_object(Bucket=s3_bucket, Key="key", Body=b"body")
            assert rule.met == 1
            assert client.get_object(Bucket=s3_bucket, Key="key")["Body"].read() == b"body"

        def test_boto3_tries_again(s3_client, s3_bucket, cenote_faults, cenote_requests):
            cenote_faults.status(503, operation="PutObject", times=2)
            s3_client.put_object(Bucket=s3_bucket, Key="key", Body=b"")
            assert cenote_requests.operations() == ["PutObject"] * 3

        def test_tables_fail_too(dynamodb_table, cenote_faults, cenote_requests):
            cenote_faults.reset(operation="PutItem")
            dynamodb_table.put_item(Item={"pk": "a"})
            assert cenote_requests.operations() == ["PutItem", "PutItem"]

        def test_a_table_refuses_in_its_own_words(cenote_server, dynamodb_table, cenote_faults):
            cenote_faults.status(400, "ProvisionedThroughputExceededException", times=9)
            client = cenote_server.client("dynamodb", config=ONCE)
            with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
                client.put_item(TableName=dynamodb_table.name, Item={"pk": {"S": "a"}})
        """,
    )
    result.assert_outcomes(passed=13)


def test_the_clock_can_be_moved(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        from datetime import timedelta

        def test_a_month(s3_client, s3_bucket, cenote_clock):
            s3_client.put_object(Bucket=s3_bucket, Key="before", Body=b"")
            cenote_clock.advance(30 * 24 * 3600)
            s3_client.put_object(Bucket=s3_bucket, Key="later", Body=b"")
            found = {
                each["Key"]: each["LastModified"]
                for each in s3_client.list_objects_v2(Bucket=s3_bucket)["Contents"]
            }
            assert found["later"] - found["before"] >= timedelta(days=30)

        def test_it_goes_right_again(cenote_clock):
            import time
            assert abs(cenote_clock.now_ms() - time.time() * 1000) < 60_000
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_failed_test_keeps_its_files_and_says_where(pytester: pytest.Pytester) -> None:
    result = outcome(
        pytester,
        """
        def test_fails(s3_client, s3_bucket, dynamodb_table):
            s3_client.put_object(Bucket=s3_bucket, Key="evidence", Body=b"here")
            dynamodb_table.put_item(Item={"pk": "evidence"})
            assert False

        def test_passes(s3_client, s3_bucket):
            s3_client.put_object(Bucket=s3_bucket, Key="key", Body=b"")
        """,
        f"--basetemp={pytester.path / 'temp'}",
    )
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "cenote's files" in text
    (bucket,) = re.findall(r"^(/.*/test-fails-1\.sqlite3)$", text, re.MULTILINE)
    with sqlite3.connect(bucket) as database:
        assert database.execute("SELECT key, value FROM data").fetchall() == [("evidence", b"here")]
    (tables,) = re.findall(r"^(/.*/tables\.sqlite3)$", text, re.MULTILINE)
    with sqlite3.connect(tables) as database:
        (count,) = database.execute(
            "SELECT count(*) FROM cell WHERE CAST(value AS TEXT) LIKE '%evidence%'"
        ).fetchone()
        assert count == 1
    assert not list(Path(bucket).parent.glob("test-passes*"))


@pytest.mark.slow
def test_workers_of_xdist_do_not_meet(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = outcome(
        pytester,
        """
        import pytest

        @pytest.mark.cenote_socket
        @pytest.mark.parametrize("number", range(8))
        def test_alone(s3_client, s3_bucket, number):
            s3_client.put_object(Bucket=s3_bucket, Key=str(number), Body=b"")
            found = s3_client.list_objects_v2(Bucket=s3_bucket)["Contents"]
            assert [each["Key"] for each in found] == [str(number)]
        """,
        "-n2",
    )
    result.assert_outcomes(passed=8)


def test_who_does_not_use_it_does_not_pay_for_it() -> None:
    """What the plugin imports when pytest starts is next to nothing."""
    code = (
        "import sys, pytest; before = set(sys.modules); import cenote.pytest_plugin;"
        "print(*(set(sys.modules) - before))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) <= {"cenote", "cenote.pytest_plugin", "importlib.machinery"}
