"""GetCallerIdentity, by boto3: who am I, and who is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cenote.server import BackgroundServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundServer]:
    with BackgroundServer(root=tmp_path_factory.mktemp("root")) as running:
        yield running


def client(server: BackgroundServer, **changes: Any) -> Any:
    return boto3.client("sts", **(server.client_arguments() | changes))


def test_a_key_learns_its_account(server: BackgroundServer) -> None:
    found = client(server).get_caller_identity()
    assert found["Account"] == server.settings.account_id
    assert found["Arn"] == f"arn:aws:iam::{server.settings.account_id}:root"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "nobody"}, "InvalidClientTokenId"),
    ],
)
def test_who_signs_wrongly_learns_nothing(
    server: BackgroundServer, changes: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        client(server, **changes).get_caller_identity()
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_other_actions_are_refused_by_name(server: BackgroundServer) -> None:
    with pytest.raises(ClientError, match="AssumeRole") as refused:
        client(server).assume_role(
            RoleArn="arn:aws:iam::000000000000:role/role", RoleSessionName="session"
        )
    assert refused.value.response["Error"]["Code"] == "InvalidAction"
