"""What is accepted is enforced by the grammar compiler that vLLM uses; what it would pass over is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest

from trivet.schemas.check import schema_problems
from trivet.schemas.engine_form import engine_form
from trivet.schemas.limits import SchemaLimits

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
WALKS = 40


def thing(**keywords: Any) -> dict[str, Any]:
    return {"type": "object", **keywords}


def choice(name: str, **more: Any) -> dict[str, Any]:
    return thing(properties={"kind": {"const": name}, **more}, required=["kind"])


ENFORCED: dict[str, Any] = {
    "anything": {},
    "annotations": {"type": "integer", "title": "t", "description": "d", "default": 1, "examples": [2], "x-mine": 1},
    "identifiers": {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:a", "type": "null"},
    "pattern": {"type": "string", "pattern": "^[a-c]{1,3}(x|y)?\\d\\.[^a]$"},
    "pattern with classes": {"type": "string", "pattern": "^\\w\\s\\S\\W\\D.$"},
    "pattern without anchors": {"type": "string", "pattern": "ab|cd"},
    "pattern with codes": {"type": "string", "pattern": "^\\u00e9\\x41[!-~]$"},
    "pattern with a lazy quantifier": {"type": "string", "pattern": "^(?:a+?|(b)\\+)$"},
    "pattern with any, long": {"type": "string", "pattern": "^.{2,300}$"},
    "pattern with all but, long": {"type": "string", "pattern": "^[^a]{0,300}$"},
    "pattern with shorthands, long": {"type": "string", "pattern": "^(\\S|\\D){0,300}$"},
    "pattern with ranges, long": {"type": "string", "pattern": "^[ -~é]{1,300}$"},
    "pattern with everything, long": {"type": "string", "pattern": "^[\\s\\S]{0,300}$"},
    "pattern with shorthands in classes": {"type": "string", "pattern": "^[\\d\\S]{1,3}[^\\S\\d]$"},
    "pattern with blanks": {"type": "string", "pattern": "^[\\sa]{1,3}\\s[!-\\]]$"},
    "length": {"type": "string", "minLength": 2, "maxLength": 3},
    "integer bounds": {"type": "integer", "minimum": -3, "exclusiveMaximum": 12},
    "integer exclusive": {"type": "integer", "exclusiveMinimum": 7, "maximum": 1234},
    "number bounds": {"type": "number", "minimum": 1.5, "maximum": 2.5},
    "number exclusive": {"type": "number", "exclusiveMinimum": -1, "exclusiveMaximum": 0.25},
    "number below": {"type": "number", "maximum": -0.125},
    "number precise": {"type": "number", "minimum": 0.123456789},
    "list": {"type": "array", "items": WHOLE, "minItems": 1, "maxItems": 3},
    "list of anything": {"type": "array", "items": True, "maxItems": 2},
    "tuple": {"type": "array", "prefixItems": [WHOLE, TEXT], "items": {"type": "null"}, "minItems": 2, "maxItems": 4},
    "closed tuple": {"type": "array", "prefixItems": [WHOLE, TEXT], "items": False},
    "unevaluated items": {"type": "array", "prefixItems": [WHOLE], "unevaluatedItems": False},
    "object": thing(properties={"a": WHOLE, "b": TEXT}, required=["b"]),
    "any object": thing(),
    "names to be escaped": thing(properties={'q"\\/\n é': WHOLE}, required=['q"\\/\n é']),
    "object by its keywords": {"properties": {"a": WHOLE}},
    "further properties": thing(properties={"a": WHOLE}, required=["a"], additionalProperties=TEXT),
    "any further properties": thing(properties={"a": WHOLE}, additionalProperties=True),
    "unevaluated properties": thing(properties={"a": WHOLE}, unevaluatedProperties=TEXT),
    "least properties": thing(properties={"a": WHOLE, "b": WHOLE}, minProperties=1),
    "most properties": thing(properties={"a": WHOLE, "b": WHOLE, "c": WHOLE}, maxProperties=2),
    "most further properties": thing(additionalProperties=WHOLE, maxProperties=1),
    "pattern of names": thing(patternProperties={"^x[0-9]$": WHOLE}, maxProperties=2),
    "choice of names": thing(propertyNames={"enum": ["a", "b"]}, additionalProperties=WHOLE),
    "const": {"const": {"a": [1, 'x\n"\\é', None, 1.5, 2**60]}},
    "enum": {"enum": ["a", 1, None, True, {"b": 0.1}]},
    "typed enum": {"type": ["string", "null"], "enum": ["a", None]},
    "typed const": {"type": "integer", "const": 1},
    "any of": {"anyOf": [WHOLE, {"type": "string", "maxLength": 1}]},
    "one of types": {"oneOf": [WHOLE, TEXT]},
    "one of values": {"oneOf": [{"const": 1}, {"enum": ["a", "b"]}, {"type": "boolean"}]},
    "one of kinds": {"oneOf": [choice("a", x=WHOLE), choice("b")]},
    "all of one": {"allOf": [WHOLE]},
    "types": {"type": ["string", "null"], "maxLength": 2},
    "reference": {"$defs": {"x": WHOLE}, "type": "array", "items": {"$ref": "#/$defs/x"}},
    "reference to a property": thing(properties={"a": WHOLE, "b": {"$ref": "#/properties/a"}}, required=["a", "b"]),
    "tree": thing(properties={"v": WHOLE, "kids": {"type": "array", "items": {"$ref": "#"}}}, required=["v", "kids"]),
    "linked list": thing(properties={"next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}}, required=["next"]),
}
FORMATS = "email date time date-time duration ipv4 ipv6 hostname uuid uri uri-reference uri-template"
ENFORCED |= {f"format {name}": {"type": "string", "format": name} for name in FORMATS.split()}

REFUSED: dict[str, tuple[Any, str, str]] = {
    "look-ahead": ({"type": "string", "pattern": "^(?=a)[a-z]$"}, "/pattern", "look-ahead"),
    "negative look-ahead": ({"type": "string", "pattern": "^(?!a)[a-z]$"}, "/pattern", "look-ahead"),
    "look-behind": ({"type": "string", "pattern": "^[ab](?<=a)b$"}, "/pattern", "look-behind"),
    "back-reference": ({"type": "string", "pattern": "^([ab])\\1$"}, "/pattern", "back-references"),
    "named back-reference": ({"type": "string", "pattern": "^(?<x>a)\\k<x>$"}, "/pattern", "back-references"),
    "word boundary": ({"type": "string", "pattern": "^a\\b$"}, "/pattern", r"escape sequence \\b"),
    "anchor inside": ({"type": "string", "pattern": "a^b"}, "/pattern", "inside of a pattern"),
    "flags": ({"type": "string", "pattern": "(?i)a"}, "/pattern", "group"),
    "possessive": ({"type": "string", "pattern": "a++a"}, "/pattern", "possessive"),
    "pattern that breaks JSON by a newline": ({"type": "string", "pattern": "^\\n$"}, "/pattern", "unescaped"),
    "pattern that breaks JSON by a quote": ({"type": "string", "pattern": '^["a]$'}, "/pattern", "unescaped"),
    "pattern that breaks JSON by a backslash": ({"type": "string", "pattern": "^\\\\$"}, "/pattern", "unescaped"),
    "pattern that breaks JSON by a code": ({"type": "string", "pattern": "^\\u0022$"}, "/pattern", "unescaped"),
    "pattern and length": ({"type": "string", "pattern": "^a+$", "maxLength": 2}, "/maxLength", "beside pattern"),
    "format and length": ({"type": "string", "format": "date", "maxLength": 2}, "/maxLength", "beside format"),
    "format that breaks JSON": ({"type": "string", "format": "json-pointer"}, "/format", "not enforced"),
    "unknown format": ({"type": "string", "format": "regex"}, "/format", "'regex' is not enforced"),
    "multiple": ({"type": "integer", "multipleOf": 5}, "/multipleOf", "not enforced"),
    "unique": ({"type": "array", "items": WHOLE, "uniqueItems": True}, "/uniqueItems", "not enforced"),
    "contains": ({"type": "array", "items": WHOLE, "contains": {"const": 3}}, "/contains", "not enforced"),
    "not": ({"type": "string", "not": {"const": "a"}}, "/not", "not enforced"),
    "if": (thing(properties={"a": {"type": "integer", "if": {"const": 1}}}), "/properties/a/if", "not enforced"),
    "dependent": (thing(dependentRequired={"a": ["b"]}), "/dependentRequired", "not enforced"),
    "unknown keyword": ({"type": "string", "maxlength": 3}, "/maxlength", "not enforced"),
    "keyword of another type": ({"type": "integer", "maxLength": 3}, "/maxLength", "does not apply"),
    "keyword without a type": ({"minLength": 3}, "/minLength", "does not apply"),
    "required without its property": (thing(properties={"a": WHOLE}, required=["z"]), "/required/0", "'z'"),
    "least open properties": (thing(additionalProperties=WHOLE, minProperties=2), "/minProperties", "enforced where"),
    "pattern beside names": (
        thing(properties={"a": TEXT}, patternProperties={"^x$": WHOLE}),
        "/patternProperties",
        "beside properties",
    ),
    "two patterns": (thing(patternProperties={"^x$": WHOLE, "^y$": TEXT}), "/patternProperties", "one pattern"),
    "bad pattern of names": (thing(patternProperties={"^(?=x)": WHOLE}), "/patternProperties", "look-ahead"),
    "pattern for all names": (thing(propertyNames={"pattern": "^k.$"}), "/propertyNames", "enum of names"),
    "false property": (thing(properties={"a": False}), "/properties/a", "fits no value"),
    "enum of another type": ({"type": "string", "enum": ["a", 1]}, "/type", "not all values"),
    "beside any of": ({"type": "string", "anyOf": [WHOLE, TEXT]}, "/type", "beside anyOf"),
    "beside a reference": ({"$defs": {"x": WHOLE}, "$ref": "#/$defs/x", "minimum": 3}, "/minimum", "beside $ref"),
    "overlapping one of": ({"oneOf": [WHOLE, {"type": "number"}]}, "/oneOf", "exclude each other"),
    "one of objects": ({"oneOf": [thing(), thing(properties={"a": WHOLE})]}, "/oneOf", "exclude each other"),
    "all of two": ({"allOf": [WHOLE, {"type": "integer", "minimum": 3}]}, "/allOf", "one branch"),
    "remote reference": ({"$ref": "http://x/y"}, "/$ref", "not in this document"),
    "anchor": ({"$defs": {"x": {"$anchor": "a", "type": "null"}}, "$ref": "#a"}, "/$defs/x/$anchor", "not enforced"),
    "dangling reference": ({"type": "array", "items": {"$ref": "#/$defs/x"}}, "/items/$ref", "leads to no schema"),
    "reference to no schema": ({"$ref": "#/$defs", "$defs": {"a": WHOLE}}, "/$ref", "leads to no schema"),
    "reference to itself": ({"$ref": "#"}, "/", "without an end"),
    "circle": (
        {
            "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
            "type": "array",
            "items": {"$ref": "#/$defs/a"},
        },
        "/$defs/a",
        "without an end",
    ),
    "endless object": (thing(properties={"a": {"$ref": "#"}}, required=["a"]), "/", "without an end"),
    "endless list": ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "/", "without an end"),
    "unknown type": ({"type": "strin"}, "/type", "is not a type"),
    "half a bound": ({"type": "integer", "minimum": 1.5}, "/minimum", "whole number"),
    "negative length": ({"type": "string", "maxLength": -1}, "/maxLength", "from 0"),
    "no schema": ([], "/", "expected a schema"),
    "nothing fits": (False, "/", "fits no value"),
}


@pytest.mark.parametrize("name", ENFORCED)
def test_what_is_accepted_is_enforced(name: str) -> None:
    """Random answers that the grammar lets through are JSON and fulfil the schema; the compiler warns of nothing."""
    schema = ENFORCED[name]
    assert schema_problems(schema, SchemaLimits()) == []
    draws = random.Random(name)
    validator = jsonschema.Draft202012Validator(schema)
    answers = {answer for _ in range(WALKS) if (answer := walk(schema, draws)) is not None}
    assert answers
    for answer in answers:
        validator.validate(json.loads(answer))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_enforced_is_refused_with_its_place(name: str) -> None:
    schema, place, text = REFUSED[name]
    problem = schema_problems(schema, SchemaLimits())[0]
    assert str(problem.place).startswith(place)
    assert text.replace("\\\\", "\\") in problem.text


def test_every_problem_is_told_up_to_a_few() -> None:
    properties = {f"p{number}": {"type": "string", "not": {}} for number in range(20)}
    problems = schema_problems(thing(properties=properties), SchemaLimits())
    assert [str(problem) for problem in problems[:2]] == [
        "/properties/p0/not: is not enforced",
        "/properties/p1/not: is not enforced",
    ]
    assert len(problems) == 5


def walk(schema: Any, draws: random.Random) -> str | None:
    """A random answer of the grammar, a character at a time; None if it does not end in time."""
    import xgrammar

    matcher = xgrammar.GrammarMatcher(compiled(engine_form(schema)))
    mask = xgrammar.allocate_token_bitmask(1, len(ALPHABET))
    answer = ""
    for step in range(400):
        matcher.fill_next_token_bitmask(mask, 0)
        bits = np.unpackbits(mask.numpy().view(np.uint8), bitorder="little")
        allowed = [int(index) for index in np.flatnonzero(bits[: len(ALPHABET)])]
        assert allowed, f"stuck after {answer!r}"
        closing = [index for index in allowed if ALPHABET[index] in ('"', "}", "]", STOP)]
        token = draws.choice(closing if closing and (step > 40 or draws.random() < 0.3) else allowed)
        assert matcher.accept_token(token)
        if ALPHABET[token] == STOP:
            return answer
        answer += ALPHABET[token]
    return None


STOP = "</s>"
ALPHABET = [*(chr(code) for code in range(0x20)), *(chr(code) for code in range(0x20, 0x7F)), "é", "😀", STOP]
_compiled: dict[str, Any] = {}


def compiled(text: str) -> Any:
    """As vLLM compiles it, with one token a character."""
    import xgrammar

    if text not in _compiled:
        vocabulary = xgrammar.TokenizerInfo(ALPHABET, xgrammar.VocabType.RAW, stop_token_ids=[len(ALPHABET) - 1])
        compiler = xgrammar.GrammarCompiler(vocabulary, max_threads=1)
        _compiled[text] = compiler.compile_json_schema(text, any_whitespace=False, separators=(",", ":"))
    return _compiled[text]
