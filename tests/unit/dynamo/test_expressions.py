"""Expressions, against the developer guide's examples and its rules."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cenote.dynamo import DynamoError, parse_item, render_item
from cenote.dynamo.expressions.apply import apply_update
from cenote.dynamo.expressions.condition import parse_condition
from cenote.dynamo.expressions.evaluate import holds
from cenote.dynamo.expressions.placeholders import Placeholders
from cenote.dynamo.expressions.projection import parse_projection, project
from cenote.dynamo.expressions.update import parse_update

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
BICYCLE = parse_item(
    {
        "Id": {"N": "789"},
        "ProductCategory": {"S": "Home Improvement"},
        "Price": {"N": "52"},
        "InStock": {"BOOL": True},
        "Brand": {"S": "Acme"},
        "Color": {"SS": ["Red", "Blue"]},
        "RelatedItems": {"L": [{"S": "Hammer"}, {"S": "Saw"}, {"S": "Nail"}]},
        "Reviews": {"M": {"FiveStar": {"L": [{"S": "Great"}]}}},
    }
)

VALUES = {
    ":n": {"N": "50"},
    ":big": {"N": "100"},
    ":s": {"S": "Acme"},
    ":part": {"S": "Ac"},
    ":red": {"S": "Red"},
    ":list": {"L": [{"S": "Chisel"}]},
    ":set": {"SS": ["Red"]},
    ":type": {"S": "SS"},
    ":t": {"BOOL": True},
    ":three": {"N": "3"},
}


def check(text: str, item: Any = BICYCLE, names: dict[str, str] | None = None) -> bool:
    return holds(parse_condition(text, "ConditionExpression", Placeholders(names, VALUES)), item)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Price > :n", True),
        ("Price BETWEEN :n AND :big", True),
        ("Price between :big and :big", False),
        ("Brand IN (:red, :s)", True),
        ("attribute_exists(Reviews.FiveStar)", True),
        ("attribute_not_exists(Reviews.OneStar)", True),
        ("attribute_exists(RelatedItems[3])", False),
        ("attribute_type(Color, :type)", True),
        ("begins_with(Brand, :part)", True),
        ("contains(Color, :red)", True),
        ("contains(Brand, :part)", True),
        ("contains(RelatedItems, :red)", False),
        ("size(RelatedItems) = :three", True),
        ("size(Absent) = :three", False),
        ("Absent = :n", False),
        ("Absent <> :n", True),
        ("Brand > :n", False),
        ("InStock = :t", True),
        ("NOT Price > :n", False),
        ("not Price > :n or Brand = :s and Price > :big", False),
        ("Brand = :s OR Brand = :red AND Price > :big", True),
        ("(Brand = :s OR Brand = :red) AND Price > :big", False),
        (":n < Price", True),
    ],
)
def test_conditions(text: str, wanted: bool) -> None:
    assert check(text) is wanted


def test_names_stand_for_what_cannot_be_written() -> None:
    item = parse_item({"status": {"M": {"a.b": {"S": "Acme"}}}})
    assert check("#s.#dot = :s", item, {"#s": "status", "#dot": "a.b"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty"),
        ("Price", 'Syntax error; token: "<EOF>", near: "Price"'),
        ("Price >", 'Syntax error; token: "<EOF>", near: ">"'),
        ("Price > :n :n", 'Syntax error; token: ":n", near: ":n :n"'),
        ("Price ! :n", 'Syntax error; token: "!"'),
        ("(Price > :n", "Syntax error"),
        ("((Price > :n))", "redundant parentheses"),
        ("status = :n", "reserved keyword; reserved keyword: status"),
        ("Price > :missing", "value used in expression is not defined; attribute value: :missing"),
        ("#missing > :n", "document path is not defined; attribute name: #missing"),
        ("Price < :t", "operator or function: <, operand type: BOOL"),
        ("Price BETWEEN :big AND :n", "upper bound to be greater than or equal to lower bound"),
        ("Price BETWEEN :n AND :s", "requires same data type"),
        ("between(Price, :n)", "Invalid function name; function: between"),
        ("begins_with(Brand)", "Incorrect number of operands"),
        ("begins_with(Brand, :n)", "operator or function: begins_with, operand type: N"),
        ("attribute_exists(:n)", "requires a document path"),
        ("attribute_type(Price, :s)", "Invalid attribute type name found; type: Acme"),
        ("size(Price)", "not allowed to be used this way"),
        ("Price = Price", "must be distinct from the remaining operands"),
        (" OR ".join(["Price > :n"] * 200), "too many operators"),
        ("a" * 4097, "exceeded the maximum allowed size"),
        ("(" * 3000, "too many nested|Syntax error"),
        ("Price[99999999999] > :n", "List index is not within the allowable range"),
    ],
)
def test_conditions_that_cannot_be_are_told(text: str, message: str) -> None:
    with pytest.raises(DynamoError, match="ConditionExpression") as refused:
        check(text)
    assert re.search(message if "|" in message else re.escape(message), refused.value.message)


def test_what_no_expression_uses_is_refused() -> None:
    placeholders = Placeholders({"#a": "a", "#b": "b"}, {":x": {"N": "1"}, ":y": {"N": "2"}})
    parse_condition("#a = :x", "ConditionExpression", placeholders)
    with pytest.raises(DynamoError, match=r"ExpressionAttributeNames unused .* keys: \{#b\}"):
        placeholders.finish()


def update(text: str, item: Any = BICYCLE, **values: Any) -> dict[str, Any]:
    placeholders = Placeholders(None, {f":{k}": v for k, v in values.items()} or None)
    parsed = parse_update(text, placeholders)
    placeholders.finish()
    return render_item(apply_update(parsed, item))


def test_set() -> None:
    after = update(
        "SET RelatedItems[1] = :ri, RelatedItems[9] = :end, Price = Price - :p,"
        " Reviews.OneStar = if_not_exists(Reviews.OneStar, :none)",
        ri={"S": "Hammock"},
        end={"S": "Rope"},
        p={"N": "2.5"},
        none={"L": []},
    )
    assert after["RelatedItems"]["L"] == [
        {"S": "Hammer"},
        {"S": "Hammock"},
        {"S": "Nail"},
        {"S": "Rope"},
    ]
    assert after["Price"] == {"N": "49.5"}
    assert after["Reviews"]["M"]["OneStar"] == {"L": []}


def test_every_operand_sees_the_item_as_it_was() -> None:
    item = parse_item({"a": {"N": "1"}, "b": {"N": "2"}})
    assert update("SET a = b, b = a", item) == {"a": {"N": "2"}, "b": {"N": "1"}}


def test_remove_closes_lists_up_once() -> None:
    after = update("REMOVE RelatedItems[0], RelatedItems[2], Absent, Brand")
    assert after["RelatedItems"] == {"L": [{"S": "Saw"}]}
    assert "Brand" not in after


def test_add_and_delete() -> None:
    after = update(
        "ADD Price :five, Color :more, Tally :five DELETE RelatedSet :more",
        five={"N": "5"},
        more={"SS": ["Green"]},
    )
    assert after["Price"] == {"N": "57"}
    assert after["Tally"] == {"N": "5"}
    assert after["Color"] == {"SS": ["Blue", "Green", "Red"]}
    gone = update("DELETE Color :all", all={"SS": ["Red", "Blue"]})
    assert "Color" not in gone


def test_list_append() -> None:
    after = update(
        "SET RelatedItems = list_append(:before, RelatedItems)", before={"L": [{"S": "First"}]}
    )
    assert after["RelatedItems"]["L"][0] == {"S": "First"}
    assert len(after["RelatedItems"]["L"]) == 4


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("SET a = :x SET b = :x", {"x": {"N": "1"}}, '"SET" section can only be used once'),
        ("SET a = :x, a.b = :x", {"x": {"N": "1"}}, "Two document paths overlap"),
        ("SET a.b = :x, a[1] = :x", {"x": {"N": "1"}}, "Two document paths conflict"),
        ("SET a = Absent", {}, "refers to an attribute that does not exist in the item"),
        ("SET Absent.x = :x", {"x": {"N": "1"}}, "document path provided in the update"),
        ("SET Brand = Brand + :x", {"x": {"N": "1"}}, "incorrect data type"),
        ("SET Price = Price + :x", {"x": {"S": "1"}}, "operator or function: +"),
        ("ADD Brand :x", {"x": {"N": "1"}}, "incorrect data type"),
        ("ADD a :x", {"x": {"S": "1"}}, "operator: ADD, operand type: STRING"),
        ("DELETE Color :x", {"x": {"N": "1"}}, "operator: DELETE, operand type: NUMBER"),
        ("SET a", {}, 'Syntax error; token: "<EOF>"'),
        ("UPDATE a = :x", {"x": {"N": "1"}}, 'Syntax error; token: "UPDATE"'),
        ("SET a = foo(:x)", {"x": {"N": "1"}}, "Invalid function name; function: foo"),
        ("SET a = if_not_exists(:x, :x)", {"x": {"N": "1"}}, "requires a document path"),
    ],
)
def test_updates_that_cannot_be_are_told(text: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(DynamoError) as refused:
        update(text, **values)
    assert message in refused.value.message


def test_an_update_changes_no_item_it_was_given() -> None:
    before = render_item(BICYCLE)
    update("SET Reviews.FiveStar[0] = :x REMOVE RelatedItems[0]", x={"S": "Poor"})
    assert render_item(BICYCLE) == before


def test_projections_keep_what_is_named() -> None:
    paths = parse_projection(
        "Brand, RelatedItems[2], RelatedItems[0], Reviews.FiveStar[0], Absent.x",
        Placeholders(None, None),
    )
    assert render_item(project(BICYCLE, paths)) == {
        "Brand": {"S": "Acme"},
        "RelatedItems": {"L": [{"S": "Hammer"}, {"S": "Nail"}]},
        "Reviews": {"M": {"FiveStar": {"L": [{"S": "Great"}]}}},
    }
    with pytest.raises(DynamoError, match="Two document paths overlap"):
        parse_projection("a, a.b", Placeholders(None, None))
