"""An upload completed from many parts is the object they make, whoever commits it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cenote.server.handlers import multipart

MIB = 1 << 20
COUNT = 5


def test_more_parts_than_the_loop_commits(s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(multipart, "PARTS_ON_LOOP_MAX", COUNT - 1)
    piece = bytes(range(256)) * (5 * MIB // 256)
    s3.put_object(Bucket=bucket, Key="piece", Body=piece)
    at = {"Bucket": bucket, "Key": "whole"}
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    source = {"Bucket": bucket, "Key": "piece"}
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part_copy(**at, PartNumber=number, CopySource=source)[
                "CopyPartResult"
            ]["ETag"],
        }
        for number in range(1, COUNT + 1)
    ]
    wrong = [*parts[:-1], {**parts[-1], "ETag": '"' + "0" * 32 + '"'}]
    with pytest.raises(ClientError) as refused:
        s3.complete_multipart_upload(**at, MultipartUpload={"Parts": wrong})
    assert refused.value.response["Error"]["Code"] == "InvalidPart"
    done = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    md5 = hashlib.md5(piece).digest()
    assert done["ETag"] == f'"{hashlib.md5(md5 * COUNT).hexdigest()}-{COUNT}"'
    del at["UploadId"]
    assert s3.head_object(**at)["ContentLength"] == len(piece) * COUNT
    last = s3.get_object(**at, PartNumber=COUNT)
    assert (last["PartsCount"], last["Body"].read() == piece) == (COUNT, True)
