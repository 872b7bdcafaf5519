"""Conditions, by AWS's pages on conditional requests and RFC 9110 section 13."""

from __future__ import annotations

import pytest

from cenote.buckets.conditions import check_form, check_read, check_source, check_write
from cenote.buckets.model import Conditions, ReadConditions
from cenote.errors import Error
from cenote.ports import ObjectRecord

ETAG = "d41d8cd98f00b204e9800998ecf8427e"
OTHER = "0" * 32
OBJECT = ObjectRecord("k", 0, ETAG, 1_700_000_000_500)
SECOND = 1_700_000_000_000


def verdict(call, *args) -> str | None:
    try:
        call(*args)
    except Error as error:
        return error.kind
    return None


@pytest.mark.parametrize(
    ("conditions", "current", "kind"),
    [
        (Conditions(), None, None),
        (Conditions(if_none_match="*"), None, None),
        (Conditions(if_none_match="*"), OBJECT, "precondition_failed"),
        (Conditions(if_match=ETAG), OBJECT, None),
        (Conditions(if_match=f'"{ETAG}"'), OBJECT, None),
        (Conditions(if_match="*"), OBJECT, None),
        (Conditions(if_match=f'W/"{ETAG}"'), OBJECT, "precondition_failed"),
        (Conditions(if_match=OTHER), OBJECT, "precondition_failed"),
        (Conditions(if_match=""), OBJECT, "precondition_failed"),
        (Conditions(if_match=ETAG), None, "no_such_key"),
        (Conditions(if_match="*"), None, "no_such_key"),
    ],
)
def test_write_conditions(conditions: Conditions, current: ObjectRecord | None, kind: str | None):
    assert verdict(check_write, conditions, "k", current) == kind


@pytest.mark.parametrize(
    ("conditions", "kind"),
    [
        (Conditions(if_match=ETAG), None),
        (Conditions(if_none_match="*"), None),
        (Conditions(if_none_match=ETAG), "not_implemented"),
        (Conditions(if_match=ETAG, if_none_match="*"), "not_implemented"),
    ],
)
def test_forms_aws_does_not_implement(conditions: Conditions, kind: str | None):
    assert verdict(check_form, conditions) == kind


# RFC 9110 13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match, else If-Modified-Since.
@pytest.mark.parametrize(
    ("conditions", "kind"),
    [
        (ReadConditions(), None),
        (ReadConditions(if_match=ETAG), None),
        (ReadConditions(if_match=f'"{OTHER}", "{ETAG}"'), None),
        (ReadConditions(if_match="*"), None),
        (ReadConditions(if_match=OTHER), "precondition_failed"),
        (ReadConditions(if_match=f'W/"{ETAG}"'), "precondition_failed"),
        (ReadConditions(if_none_match=ETAG), "not_modified"),
        (ReadConditions(if_none_match=f'W/"{ETAG}"'), "not_modified"),
        (ReadConditions(if_none_match="*"), "not_modified"),
        (ReadConditions(if_none_match=OTHER), None),
        (ReadConditions(if_modified_since_ms=SECOND), "not_modified"),
        (ReadConditions(if_modified_since_ms=SECOND - 1000), None),
        (ReadConditions(if_unmodified_since_ms=SECOND), None),
        (ReadConditions(if_unmodified_since_ms=SECOND - 1000), "precondition_failed"),
        (ReadConditions(if_match=ETAG, if_unmodified_since_ms=0), None),
        (ReadConditions(if_none_match=OTHER, if_modified_since_ms=SECOND), None),
        (ReadConditions(if_none_match=ETAG, if_modified_since_ms=0), "not_modified"),
        (ReadConditions(if_match=OTHER, if_none_match=ETAG), "precondition_failed"),
    ],
)
def test_read_conditions(conditions: ReadConditions, kind: str | None):
    assert verdict(check_read, conditions, OBJECT) == kind
    # As a copy's source every failure is 412 (AWS, CopyObject).
    expected = None if kind is None else "precondition_failed"
    assert verdict(check_source, conditions, OBJECT) == expected
