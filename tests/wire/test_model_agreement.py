"""The table against botocore's model of S3: names, methods, queries, members, places, wire names.

Every difference is either in one of the lists below, with its reason, or a failure.
"""

import re
from functools import cache

import pytest
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from cenote.s3 import OPS, S3Error
from cenote.s3.headers import check_amz_header
from cenote.s3.parse import _PLANS
from cenote.s3.shapes import (
    Element,
    Header,
    HeaderMap,
    Items,
    Nested,
    PathPart,
    Payload,
    Query,
    Text,
    places,
)

IMPLEMENTED = sorted(op.name for op in OPS.values() if op.implemented)

# Operations of S3 that the model of a client does not have.
BEYOND_MODEL = {"PostObject": "browsers do it, SDKs only make its policy"}

# Request members that are not fields of an input, by wire name (lower case).
HANDLED_ELSEWHERE = {
    "content-length": "the connection reads it",
    "x-amz-request-payer": "accepted and forgotten: no bucket is requester-pays",
    "x-amz-acl": "checked by value, then forgotten",
    "x-amz-object-ownership": "checked by value, then forgotten",
    "x-amz-bucket-object-lock-enabled": "checked by value, then forgotten",
    "x-amz-bucket-namespace": "checked by value, then forgotten",
    "x-amz-bypass-governance-retention": "accepted: without object lock it has no effect",
    "x-amz-object-annotation-directive": "accepted: there are no annotations",
}
# Request members refused with 501 wherever they come.
REFUSED = re.compile(
    "x-amz-(grant-|server-side-encryption|copy-source-server-side-encryption|object-lock-|mfa$"
    "|write-offset-bytes$|if-match-initiated-time$|checksum-(md5|sha512|xxhash))"
)
# Response members that are never told, because what they tell of is not done.
UNTOLD = re.compile(
    "x-amz-(server-side-encryption|request-charged|expiration|restore|delete-marker|version-id"
    "|object-lock-|replication-status|archive-status|abort-|copy-source-version-id"
    "|bucket-location-|missing-meta$|checksum-(md5|sha512|xxhash))"
)
UNTOLD_ELEMENTS = {
    "BucketArn": "there are no ARNs",
    "DeleteMarker": "versioning is not done",
    "DeleteMarkerVersionId": "versioning is not done",
    "RestoreStatus": "archive classes are not done",
    "VersionId": "versioning is not done",
    "ChecksumSHA512": "not computed here",
    "ChecksumMD5": "not computed here",
    "ChecksumXXHASH64": "not computed here",
    "ChecksumXXHASH3": "not computed here",
    "ChecksumXXHASH128": "not computed here",
}


@cache
def model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("s3", "service-2"), "s3")


def test_every_operation_of_the_model_has_a_row():
    assert set(OPS) == set(model().operation_names) | set(BEYOND_MODEL)


@pytest.mark.parametrize("name", sorted(set(OPS) - set(BEYOND_MODEL)))
def test_row_has_the_models_method_path_and_query(name):
    op = OPS[name]
    operation = model().operation_model(name)
    path, _, query = operation.http["requestUri"].partition("?")
    assert op.method == operation.http["method"]
    expected_target = {
        "/": "service",
        "/WriteGetObjectResponse": "service",
        "/{Bucket}": "bucket",
        "/{Bucket}/{Key+}": "object",
    }
    assert op.target == expected_target[path]
    words = {tuple(word.partition("=")[::2]) for word in query.split("&") if word}
    required = {
        member.serialization["name"]
        for key, member in operation.input_shape.members.items()
        if member.serialization.get("location") == "querystring"
        and key in operation.input_shape.required_members
    }
    ours = {(word, value or "") for word, value in op.query}
    assert words <= ours
    # uploadId names an operation; partNumber, required beside it, is a member.
    beyond = {word for word, _ in ours - words}
    read = {m.place.wire for m in places(op.input) if isinstance(m.place, Query) and m.required}
    assert beyond | read >= required
    assert beyond <= required
    if op.implemented:
        assert op.status == operation.http.get("responseCode", 200)
        assert op.digest_required == bool(
            operation.http_checksum.get("requestChecksumRequired", False)
        )


def wire_of(key: str, shape: Shape) -> str:
    return shape.serialization.get("name") or key


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_every_request_member_is_read_or_accounted_for(name):
    shape = model().operation_model(name).input_shape
    ours = {
        (type(m.place), m.place.wire if not isinstance(m.place, HeaderMap) else m.place.prefix)
        for m in places(OPS[name].input)
    }
    theirs = set()
    payload = shape.serialization.get("payload")
    for key, member in shape.members.items():
        location = member.serialization.get("location")
        wire = wire_of(key, member)
        if location in ("header", "headers"):
            if REFUSED.match(wire.lower()):
                with pytest.raises(S3Error) as caught:
                    check_amz_header(wire.lower(), "1")
                assert (caught.value.status, caught.value.extra["Header"]) == (501, wire.lower())
                continue
            if wire.lower() in HANDLED_ELSEWHERE:
                continue
            theirs.add((Header if location == "header" else HeaderMap, wire))
        elif location == "querystring":
            theirs.add((Query, wire))
        elif location == "uri":
            theirs.add((PathPart, wire))
        elif key == payload and isinstance(member, StructureShape):
            theirs.add((Payload, wire))
        else:
            assert member.type_name == "blob"
    assert ours - theirs == checksum_headers_of_documents(name)
    assert theirs - ours == set()


def checksum_headers_of_documents(name):
    """A client's checksum of a document comes in headers the model leaves to the SDK's plumbing."""
    if name in ("DeleteObjects", "PutObjectTagging"):
        values = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"]
        headers = {(Header, f"x-amz-checksum-{value}") for value in values}
        return headers | ({(Header, "Content-MD5")} if name == "DeleteObjects" else set())
    return set()


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_required_members_agree(name):
    shape = model().operation_model(name).input_shape
    required = set(shape.required_members)
    ours = {
        m.place.wire: m.required
        for m in places(OPS[name].input)
        if not isinstance(m.place, HeaderMap)
    }
    for key in required:
        assert ours[wire_of(key, shape.members[key])], key
    # CompleteMultipartUpload without a list of parts is MalformedXML on AWS, whatever the model.
    extra = {wire for wire, must in ours.items() if must} - {
        wire_of(key, shape.members[key]) for key in required
    }
    assert extra <= {"CompleteMultipartUpload"}


def outer_wire(place):
    """Return the name of the element that holds a place, or None if it is no element."""
    if isinstance(place, Items):
        return place.wrapper or place.wire
    return place.wire if isinstance(place, Element | Nested) else None


def compare_structure(shape, cls, path):
    """Walk a structure that is an element, both ways."""
    ours = {outer_wire(m.place): m.place for m in places(cls) if outer_wire(m.place)}
    theirs = {}
    for key, member in shape.members.items():
        if member.serialization.get("location") is None and member.type_name != "blob":
            wire = wire_of(key, member)
            if isinstance(member, ListShape) and member.serialization.get("flattened"):
                wire = member.serialization.get("name") or key
            theirs[wire] = member
    assert set(ours) <= set(theirs), path
    for wire in set(theirs) - set(ours):
        refused = getattr(cls, "refused", frozenset())
        assert wire in UNTOLD_ELEMENTS or wire in refused, f"{path}/{wire}"
    for wire, place in ours.items():
        compare_element(theirs[wire], place, f"{path}/{wire}")


def compare_element(member, place, path):
    if isinstance(member, ListShape):
        if isinstance(place, Element):  # a list that has at most one item here
            assert path.endswith("/ChecksumAlgorithm")
            return
        assert isinstance(place, Items), path
        assert (place.wrapper is None) == bool(member.serialization.get("flattened")), path
        if place.wrapper is not None:
            assert place.wire == member.member.serialization.get("name", "member"), path
        compare_structure(member.member, place.struct, path)
    elif isinstance(member, StructureShape):
        assert isinstance(place, Nested), path
        compare_structure(member, place.struct, path)
    else:
        assert isinstance(place, Element), path
        kinds = {
            "string": {"string", "etag", "storage class", "checksum algorithm", "enum"},
            "integer": {"integer"},
            "long": {"integer"},
            "boolean": {"boolean"},
            "timestamp": {"timestamp", "date"},
        }
        assert place.kind.name in kinds[member.type_name], path


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_documents_of_requests_agree(name):
    shape = model().operation_model(name).input_shape
    for m in places(OPS[name].input):
        if isinstance(m.place, Payload):
            key = shape.serialization["payload"]
            compare_structure(shape.members[key], m.place.struct, name)


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_answers_agree(name):
    shape = model().operation_model(name).output_shape
    ours = places(OPS[name].output)
    if shape is None:
        assert ours == ()
        return
    headers = {m.place.wire.lower() for m in ours if isinstance(m.place, Header)}
    theirs = {
        wire_of(key, member).lower()
        for key, member in shape.members.items()
        if member.serialization.get("location") == "header"
    }
    assert headers <= theirs
    assert {wire for wire in theirs - headers if not UNTOLD.match(wire)} == set()
    maps = {m.place.prefix for m in ours if isinstance(m.place, HeaderMap)}
    assert maps == {
        member.serialization["name"]
        for member in shape.members.values()
        if isinstance(member, MapShape)
    }
    for m in ours:
        if isinstance(m.place, Payload):
            key = shape.serialization["payload"]
            assert wire_of(key, shape.members[key]) == m.place.wire == OPS[name].root
            compare_structure(shape.members[key], m.place.struct, name)
            return
        if isinstance(m.place, Text):
            assert list(shape.members) == [m.place.wire]
            return
    compare_structure(shape, OPS[name].output, name)


def test_every_implemented_operation_has_a_plan():
    assert sorted(_PLANS) == IMPLEMENTED
