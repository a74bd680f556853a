"""What is no expression is refused by its name, with the column, before anything is computed."""

from __future__ import annotations

import pytest

from gradcli.errors import UsageError
from gradcli.inspection.expressions.syntax import parse_expression

REFUSED = [
    ("lambda x: x", 1, "lambda"),
    ("a + (lambda: 1)()", 5, "only functions and methods can be called"),
    ("a if b else c", 1, "where(condition, a, b)"),
    ("a and b", 1, "and/or is not part of expressions; write & |"),
    ("not a", 1, "not is not part of expressions"),
    ("sum(x for x in a)", 4, "a comprehension"),
    ("[x for x in a]", 1, "a comprehension"),
    ("{x for x in a}", 1, "a comprehension"),
    ("{x: 1 for x in a}", 1, "a comprehension"),
    ("1 + {}", 5, "a dict"),
    ("{1, 2}", 1, "a set"),
    ("f'{a}'", 1, "an f-string"),
    ("(y := 3)", 2, ":="),
    ("max(*a)", 5, "* before an argument"),
    ("max(a, **b)", 8, "** before an argument"),
    ("a += 1", 1, "assignment in place"),
    ("a: int = 1", 1, "a type annotation"),
    ("a << 2", 1, "<< is not part of expressions"),
    ("a >> 2", 1, ">>"),
    ("a ^ 2", 1, "^ is not part of expressions; write ** for powers"),
    ("a is b", 1, "write =="),
    ("a is not b", 1, "write !="),
    ("a in b", 1, "in is not part"),
    ("a not in b", 1, "not in is not part"),
    ("1 < a < 2", 1, "write (a < b) & (b < c)"),
    ("1j * a", 1, "complex numbers"),
    ("b'1'", 1, "bytes"),
    ("a * 9223372036854775808", 5, "write larger numbers as floats"),
    ("import os", 1, "import"),
    ("from os import path", 1, "import"),
    ("def f(): pass", 1, "def"),
    ("async def f(): pass", 1, "def"),
    ("class A: pass", 1, "class"),
    ("a; for x in a: b", 4, "invalid syntax"),
    ("for x in a: b", 1, "for"),
    ("while a: b", 1, "while"),
    ("if a: b", 1, "where"),
    ("with a: b", 1, "with"),
    ("try: a\nfinally: b", 1, "try"),
    ("del a", 1, "del"),
    ("global a", 1, "global"),
    ("assert a", 1, "assert"),
    ("raise a", 1, "raise"),
    ("return a", 1, "return"),
    ("pass", 1, "pass"),
    ("await a", 1, "await"),
    ("(yield a)", 2, "yield"),
    ("a[0] = 1", 1, "only a name can stand to the left of ="),
    ("a.b = 1", 1, "only a name can stand to the left of ="),
    ("x, a[0] = b", 4, "only a name can stand to the left of ="),
    ("a = b = 1", 1, "one at a time"),
    ("a[1](2)", 1, "only functions and methods"),
    ("a +", 4, "invalid syntax"),
    ("(a", 1, "'(' was never closed"),
    ("3a", 1, "invalid decimal literal"),
    ("é + lambda: 1", 5, "invalid syntax"),
    ("é + (a ^ 1)", 6, "^"),
]


@pytest.mark.parametrize(("text", "column", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_everything_else_of_python_is_refused_by_name(text: str, column: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_expression(text)
    place, _, said = str(caught.value).partition(": ")
    assert place.endswith(f"column {column}")
    assert message in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expression: is empty"),
        (" \n ", "expression: is empty"),
        ("# a", "expression: is empty"),
        ("a+" * 60_000 + "a", "expression: is 120,001 characters long"),
        ("-" * 50_000 + "1", "nested more than 100 deep"),
        ("+".join("a" * 20_000), "nested more than 100 deep"),
        ("+".join("a" * 103), "column 1: is nested more than 100 deep"),
        ("a" + ".b" * 20_000, "nested more than 100 deep"),
        ("(" * 1_000, "too many nested parentheses"),
        ("[" * 150 + "]" * 150, "nested more than 100 deep"),
        ("9" * 5_000, "Exceeds the limit"),
        ("a\0b", "null bytes"),
        ("a\udce9", "is no text"),
        ("a\n + b", "line 2, column 1: unexpected indent"),
        ("a\nb ^ c", "line 2, column 1: ^ is not part"),
    ],
    ids=range(15),
)
def test_texts_that_are_no_expression_at_all(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"^expression") as caught:
        parse_expression(text)
    assert message in str(caught.value)


def test_the_label_says_whose_expression_it_is() -> None:
    with pytest.raises(UsageError, match=r"^--var a, column 3: "):
        parse_expression("1 ?", "--var a")


def test_statements_have_their_names() -> None:
    statements = parse_expression(" y = a*b; v, i = y.max(0)\nv ").statements
    assert [(each.names, each.unpacks) for each in statements] == [(("y",), False), (("v", "i"), True), ((), False)]
