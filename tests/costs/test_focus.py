"""Rows of FOCUS 1.2: its mandatory columns, its values, and costs that add up to the log."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.support.request_logs import line, receipt
from trivet.costs.entry import read_entry
from trivet.costs.focus import BY, COLUMNS, rows
from trivet.costs.groups import Groups
from trivet.costs.money import NANO
from trivet.types.receipt import Cost, Receipt

# Of the cost and usage data set, version 1.2: those that must be there whatever the provider supports.
MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName",
}  # fmt: skip


def exported(*receipts: Receipt, most: int = 100) -> list[dict[str, str]]:
    groups = Groups(BY, most)
    for one in receipts:
        groups.add(read_entry(line(one)))
    return [dict(row) for row in rows(groups, account="acct", provider="us")]


def test_every_row_has_the_columns_and_no_other() -> None:
    (row, *_) = exported(receipt())
    assert set(row) == set(COLUMNS) >= MANDATORY
    assert all(row[name] for name in MANDATORY - {"ChargeClass"})  # null unless a row corrects an earlier one


def test_costs_and_quantities_add_up_to_the_log() -> None:
    receipts = [
        receipt(number, tenant=f"t{number % 3}", cost=Cost(input=7, output=3, retrieval=1)) for number in range(50)
    ]
    found = exported(*receipts)
    for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
        assert sum(Decimal(row[column]) for row in found) == Decimal(50 * 11) / NANO
    by_meter = {
        meter: sum(int(r["ConsumedQuantity"]) for r in found if r["SkuMeter"] == meter)
        for meter in {r["SkuMeter"] for r in found}
    }
    assert by_meter == {"Uncached input tokens": 50 * 40, "Output tokens": 50 * 7, "Requests with retrieval": 50}


def test_a_month_ends_where_the_next_begins() -> None:
    row = exported(receipt(24 * 31 + 13))[0]  # New Year's Day, an hour into it
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z")
    assert json.loads(row["Tags"]) == {"route": "support", "variant": "rag", "prompt": "p@1"}
    assert (row["SubAccountId"], row["BillingAccountId"], row["ProviderName"]) == ("acme", "acct", "us")


def test_more_than_fits_is_refused_and_not_summed_up_without_a_day() -> None:
    with pytest.raises(ValueError, match="shorter time"):
        exported(receipt(0), receipt(48), most=1)
