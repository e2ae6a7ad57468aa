"""Rows of FOCUS 1.2: its mandatory columns, its values, and costs that add up to the log."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

from tests.support.request_logs import line, read_entry, receipt
from trivet.costs.focus import BY, COLUMNS, rows
from trivet.costs.groups import Groups
from trivet.costs.money import NANO
from trivet.types.receipt import Cost, Receipt

# Version 1.2's columns: whether they must be there whatever the provider supports, may be null, and what they hold.
TEXT, NUMBER, INSTANT, CURRENCY, KEYS = "text", "number", "instant", "currency", "keys"
COLUMNS_OF_FOCUS = {
    "BilledCost": (True, False, NUMBER), "BillingAccountId": (True, False, TEXT),
    "BillingAccountName": (True, True, TEXT), "BillingCurrency": (True, False, CURRENCY),
    "BillingPeriodEnd": (True, False, INSTANT), "BillingPeriodStart": (True, False, INSTANT),
    "ChargeCategory": (True, False, TEXT), "ChargeClass": (True, True, TEXT), "ChargeDescription": (True, True, TEXT),
    "ChargeFrequency": (False, False, TEXT), "ChargePeriodEnd": (True, False, INSTANT),
    "ChargePeriodStart": (True, False, INSTANT), "ConsumedQuantity": (False, True, NUMBER),
    "ConsumedUnit": (False, True, TEXT), "ContractedCost": (True, False, NUMBER),
    "EffectiveCost": (True, False, NUMBER), "InvoiceIssuerName": (True, False, TEXT),
    "ListCost": (True, False, NUMBER), "PricingQuantity": (True, True, NUMBER), "PricingUnit": (True, True, TEXT),
    "ProviderName": (True, False, TEXT), "PublisherName": (True, False, TEXT), "ResourceId": (False, True, TEXT),
    "ResourceName": (False, True, TEXT), "ResourceType": (False, True, TEXT), "ServiceCategory": (True, False, TEXT),
    "ServiceName": (True, False, TEXT), "ServiceSubcategory": (False, False, TEXT),
    "SubAccountId": (False, True, TEXT), "SubAccountName": (False, True, TEXT), "Tags": (False, True, KEYS),
}  # fmt: skip
MANDATORY = {name for name, (mandatory, _, _) in COLUMNS_OF_FOCUS.items() if mandatory}
FORMS = {
    NUMBER: r"-?\d+(\.\d+)?", INSTANT: r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", CURRENCY: r"[A-Z]{3}", TEXT: r".*\S.*",
    KEYS: r"\{.*\}",
}  # fmt: skip
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "ServiceCategory": {"AI and Machine Learning"},
    "ServiceSubcategory": {"Generative AI"},  # which has that category as its parent
    "ConsumedUnit": {"Tokens", "Requests"},  # nouns of the recommended counts
    "PricingUnit": {"Tokens", "Requests"},
}


def problems(row: dict[str, str]) -> list[str]:
    """What the specification forbids in a row; an empty text is null."""
    wrong = []
    for name, (_, nullable, kind) in COLUMNS_OF_FOCUS.items():
        value = row[name]
        if not value:
            wrong += [] if nullable else [f"{name} is null"]
        elif not re.fullmatch(FORMS[kind], value):
            wrong.append(f"{name} is no {kind}: {value}")
        if name in ALLOWED and value not in ALLOWED[name]:
            wrong.append(f"{name} is {value}")
    for one, other in (
        ("ConsumedUnit", "ConsumedQuantity"), ("PricingUnit", "PricingQuantity"), ("ResourceType", "ResourceId"),
        ("SubAccountName", "SubAccountId"),
    ):  # fmt: skip
        if bool(row[one]) != bool(row[other]):
            wrong.append(f"one of {one} and {other} is null")
    if not row["PricingQuantity"] or not row["ConsumedQuantity"]:
        wrong.append("usage without a quantity")
    if row["ResourceName"] and row["ResourceName"] == row["ResourceId"]:
        wrong.append("ResourceName repeats ResourceId")
    tags = json.loads(row["Tags"])
    wrong += [f"tag {key} without the provider's prefix" for key in tags if not key.startswith("trivet/")]
    wrong += [f"tag {key} is no text" for key, value in tags.items() if not isinstance(value, str)]
    if not row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]:
        wrong.append("the charge's period is not within the bill's")
    return wrong


def exported(*receipts: Receipt, most: int = 100) -> list[dict[str, str]]:
    groups = Groups(BY, most)
    for one in receipts:
        groups.add(read_entry(line(one)))
    return [dict(row) for row in rows(groups, account="acct", provider="us")]


def test_every_row_has_the_columns_and_no_other() -> None:
    (row, *_) = exported(receipt())
    assert set(row) == set(COLUMNS) >= MANDATORY
    ours = [name for name in COLUMNS if name not in COLUMNS_OF_FOCUS]
    assert ours == [name for name in COLUMNS if name.startswith("x_")] == list(COLUMNS[-len(ours) :])  # behind theirs


def test_every_row_keeps_to_the_specification() -> None:
    receipts = [
        receipt(1), receipt(2, tenant="(shadow)"), receipt(3, adapter="", cost=Cost(prefill=5, decode=10**12)),
        receipt(4, cost=Cost(input=1, retrieval=3)),
    ]  # fmt: skip
    rows_ = exported(*receipts)
    assert len(rows_) > len(receipts)
    assert {problem: row for row in rows_ for problem in problems(row)} == {}
    copies = [row for row in rows_ if not row["SubAccountId"]]
    assert [json.loads(row["Tags"])["trivet/account"] for row in copies] == ["shadow"] * len(copies) != []


@pytest.mark.parametrize(
    "change",
    [
        {"BilledCost": "1e-3 USD"}, {"BillingAccountId": ""}, {"ChargeClass": "None"}, {"PricingUnit": ""},
        {"ResourceName": "local"}, {"Tags": '{"route": "a"}'}, {"ChargePeriodEnd": "2026-11-02"},
    ],
)  # fmt: skip
def test_what_the_specification_forbids_is_seen(change: dict[str, str]) -> None:
    (row, *_) = exported(receipt())
    assert problems({**row, "ResourceId": "local", **change})


def test_costs_and_quantities_add_up_to_the_log() -> None:
    receipts = [
        receipt(number, tenant=f"t{number % 3}", cost=Cost(input=7, output=3, retrieval=1)) for number in range(50)
    ]
    found = exported(*receipts)
    for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
        assert sum(Decimal(row[column]) for row in found) == Decimal(50 * 11) / NANO
    by_meter = {
        meter: sum(int(r["ConsumedQuantity"]) for r in found if r["x_Meter"] == meter)
        for meter in {r["x_Meter"] for r in found}
    }
    assert by_meter == {"Uncached input tokens": 50 * 40, "Output tokens": 50 * 7, "Requests with retrieval": 50}


def test_a_month_ends_where_the_next_begins() -> None:
    row = exported(receipt(24 * 31 + 13))[0]  # New Year's Day, an hour into it
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z")
    assert json.loads(row["Tags"]) == {
        "trivet/route": "support", "trivet/variant": "rag", "trivet/prompt": "p@1",
    }  # fmt: skip
    assert (row["SubAccountId"], row["BillingAccountId"], row["ProviderName"]) == ("acme", "acct", "us")


def test_more_than_fits_is_refused_and_not_summed_up_without_a_day() -> None:
    with pytest.raises(ValueError, match="shorter time"):
        exported(receipt(0), receipt(48), most=1)
