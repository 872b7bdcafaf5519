"""Values, numbers and keys, against the service's documented rules."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.dynamo import DynamoError, parse_item, render_item
from cenote.dynamo.keys import KeySchema, key_bytes, key_of, parse_key
from cenote.dynamo.numbers import add, parse_number, render_number, subtract
from cenote.dynamo.values import compare, item_size, parse_value

SCHEMA = KeySchema((("pk", "S"), ("sk", "N")))

numbers = st.decimals(
    min_value=Decimal("-1e60"), max_value=Decimal("1e60"), allow_nan=False, places=20
).map(lambda number: parse_number(f"{number:.30e}" if number else "0"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1", "1"),
        ("-0", "0"),
        ("1.50", "1.5"),
        ("100", "100"),
        ("1e2", "100"),
        (" 7 ", "7"),
        (".5", "0.5"),
        ("1E-130", "0." + "0" * 129 + "1"),
        ("9" * 38 + "0" * 88, "9" * 38 + "0" * 88),
    ],
)
def test_numbers_are_exact_and_shown_plainly(text: str, shown: str) -> None:
    assert render_number(parse_number(text)) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be converted to a numeric value"),
        ("NaN", "cannot be converted to a numeric value"),
        ("Infinity", "cannot be converted to a numeric value"),
        ("1_000", "cannot be converted to a numeric value"),
        ("0x10", "cannot be converted to a numeric value"),
        ("1e126", "Number overflow"),
        ("-1e126", "Number overflow"),
        ("1e-131", "Number underflow"),
        ("1" * 39, "more than 38 significant digits"),
        ("1e999999", "Number overflow"),
    ],
)
def test_numbers_out_of_range_are_refused(text: str, message: str) -> None:
    with pytest.raises(DynamoError, match=message):
        parse_number(text)


def test_sums_are_exact_or_refused() -> None:
    assert render_number(add(parse_number("0.1"), parse_number("0.2"))) == "0.3"
    assert render_number(subtract(parse_number("1"), parse_number("1"))) == "0"
    with pytest.raises(DynamoError, match="38 significant digits"):
        add(parse_number("1e100"), parse_number("1"))


@given(numbers, numbers)
def test_keys_sort_as_numbers_do(one: Decimal, two: Decimal) -> None:
    by_bytes = key_bytes(("N", one)) < key_bytes(("N", two))
    assert by_bytes == (one < two)
    assert (key_bytes(("N", one)) == key_bytes(("N", two))) == (one == two)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        ({}, "ValidationException"),
        ({"S": "a", "N": "1"}, "ValidationException"),
        ({"X": "a"}, "ValidationException"),
        ({"SS": []}, "ValidationException"),
        ({"SS": ["a", "a"]}, "ValidationException"),
        ({"NS": ["1", "1.0"]}, "ValidationException"),
        ({"NULL": False}, "ValidationException"),
        ({"S": 1}, "SerializationException"),
        ({"N": 1}, "SerializationException"),
        ({"B": "%"}, "SerializationException"),
        ({"L": {}}, "SerializationException"),
        ({"M": []}, "SerializationException"),
        ({"BOOL": "true"}, "SerializationException"),
        ("text", "SerializationException"),
        (None, "SerializationException"),
    ],
)
def test_what_is_no_value_is_refused(wire: Any, code: str) -> None:
    with pytest.raises(DynamoError) as refused:
        parse_value(wire)
    assert refused.value.code == code


def test_nesting_is_bounded() -> None:
    wire: Any = {"S": "deep"}
    for _ in range(32):
        wire = {"L": [wire]}
    parse_value(wire)
    with pytest.raises(DynamoError, match="Nesting Levels"):
        parse_value({"L": [wire]})


def test_items_come_back_as_they_were() -> None:
    wire = {
        "s": {"S": "é\ud800"},
        "n": {"N": "-1.5"},
        "b": {"B": "AAH/"},
        "t": {"BOOL": True},
        "z": {"NULL": True},
        "ss": {"SS": ["a", "b"]},
        "ns": {"NS": ["1", "2"]},
        "bs": {"BS": ["AA==", "AQ=="]},
        "l": {"L": [{"S": ""}, {"M": {}}]},
        "m": {"M": {"x": {"N": "0"}}},
    }
    assert render_item(parse_item(wire)) == wire


def test_sizes_count_names_and_values() -> None:
    assert item_size(parse_item({"ab": {"S": "xyz"}})) == 5
    assert item_size(parse_item({"n": {"N": "123"}})) == 1 + 3
    assert item_size(parse_item({"n": {"N": "-123"}})) == 1 + 4
    assert item_size(parse_item({"l": {"L": [{"BOOL": True}]}})) == 1 + 3 + 1 + 1


def test_only_one_type_has_an_order() -> None:
    assert compare(("S", "a"), ("S", "b")) == -1
    assert compare(("S", "\uffff"), ("S", "\U00010000")) == -1  # by UTF-8, not by UTF-16
    assert compare(("S", "1"), ("N", Decimal(1))) is None
    assert compare(("BOOL", True), ("BOOL", False)) is None


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"pk": {"S": "a"}}, "Missing the key sk in the item"),
        (
            {"pk": {"N": "1"}, "sk": {"N": "1"}},
            "Type mismatch for key pk expected: S actual: N",
        ),
        ({"pk": {"S": ""}, "sk": {"N": "1"}}, "cannot contain an empty string value. Key: pk"),
        ({"pk": {"S": "x" * 2049}, "sk": {"N": "1"}}, "Size of hashkey has exceeded"),
    ],
)
def test_keys_of_items_are_checked(item: dict[str, Any], message: str) -> None:
    with pytest.raises(DynamoError, match=message):
        key_of(parse_item(item), SCHEMA)


def test_a_key_is_the_key_and_nothing_else() -> None:
    key = {"pk": {"S": "a"}, "sk": {"N": "1"}}
    assert parse_key(parse_item(key), SCHEMA) == key_of(parse_item(key), SCHEMA)
    for wrong in ({**key, "x": {"S": "y"}}, {"pk": {"S": "a"}}, {**key, "sk": {"S": "1"}}):
        with pytest.raises(DynamoError, match="does not match the schema"):
            parse_key(parse_item(wrong), SCHEMA)
