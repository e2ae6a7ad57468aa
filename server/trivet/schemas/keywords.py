"""What the engine's grammar compiler (xgrammar 0.2.8) enforces of JSON Schema (draft 2020-12).

The compiler reads a schema by the first of `$ref`, `const`, `enum`, `anyOf`, `oneOf`, `allOf` and `type` that it has,
and passes over everything beside it without a word. So each of these forms lists what may stand beside it, and all else
is refused. `tests/schemas/test_enforcement.py` compares with the compiler itself.
"""

from __future__ import annotations

ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema"}
)
DEFINITIONS = ("$defs", "definitions")
COMPOUND = ("$ref", "const", "enum", "anyOf", "oneOf", "allOf")

KEYWORDS_OF_TYPE: dict[str, frozenset[str]] = {
    "string": frozenset({"pattern", "format", "minLength", "maxLength"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "boolean": frozenset(),
    "null": frozenset(),
    "array": frozenset({"items", "prefixItems", "unevaluatedItems", "minItems", "maxItems"}),
    "object": frozenset(
        {
            "properties",
            "required",
            "additionalProperties",
            "unevaluatedProperties",
            "patternProperties",
            "propertyNames",
            "minProperties",
            "maxProperties",
        }
    ),
}
# Without `type`, these tell the compiler that an object or an array is meant.
IMPLIED_TYPES = {
    "properties": "object",
    "additionalProperties": "object",
    "unevaluatedProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "unevaluatedItems": "array",
}
# The compiler knows "json-pointer" and "relative-json-pointer" too, and lets quotes into them: no JSON any more.
FORMATS = frozenset(
    {
        "email",
        "date",
        "time",
        "date-time",
        "duration",
        "ipv4",
        "ipv6",
        "hostname",
        "uuid",
        "uri",
        "uri-reference",
        "uri-template",
    }
)
NOT_ENFORCED = frozenset(
    {
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "additionalItems",
        "multipleOf",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "$recursiveRef",
        "$vocabulary",
        "nullable",
        "discriminator",
    }
)
LONGEST_COUNT = 2**31 - 1  # lengths and counts are C integers in the compiler
