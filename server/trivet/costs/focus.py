"""Costs as rows of the FinOps Open Cost and Usage Specification, version 1.2 (https://focus.finops.org).

One row per day, tenant, what served it, and component. The mandatory columns, and those of the recommended and
conditional ones that a gateway knows. No unit prices and no SKUs, for there is no published list of prices: a receipt
has the cost, not the price that it was charged by. So the meter stands in a column of our own (`x_Meter`); the
specification has it null where there is no SKU. An empty text is null, as CSV has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from trivet.costs.groups import NONE, OTHERS, Groups, Sums
from trivet.costs.money import usd

BY = ("day", "tenant", "route", "variant", "backend", "adapter", "prompt")
COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ResourceId", "ResourceName", "ResourceType",
    "ServiceCategory", "ServiceName", "ServiceSubcategory", "SubAccountId", "SubAccountName", "Tags", "x_Meter",
)  # fmt: skip
TAG_PREFIX = "trivet/"  # a provider's own keys have one
_COPIES = "(shadow)"  # whose tenant is nobody's
_TOKENS = {
    "input": "Uncached input tokens",
    "prefill": "Uncached input tokens",
    "cached": "Cached input tokens",
    "output": "Output tokens",
    "decode": "Output tokens",
}


def rows(groups: Groups, *, account: str, provider: str) -> Iterator[Mapping[str, str]]:
    """The rows of groups that were summed up `BY` these; `account` pays, `provider` runs the service.

    The rows' costs add up to the groups' exactly. What is beyond the groups' bound has no day, and is refused.
    """
    for group, sums in groups.ordered():
        if OTHERS in group:
            raise ValueError("there are more groups than fit: export a shorter time")
        for component, cost in sums.cost.items():
            yield _row(dict(zip(BY, group, strict=True)), sums, component, cost, account, provider)


def _row(
    of: Mapping[str, str], sums: Sums, component: str, cost: int, account: str, provider: str
) -> Mapping[str, str]:
    day = datetime.fromisoformat(of["day"])
    month = day.replace(day=1)
    meter = _TOKENS.get(component, f"Requests with {component}")
    quantity, unit = (_quantity(sums, component), "Tokens") if component in _TOKENS else (sums.requests, "Requests")
    amount = usd(cost)
    tags = {TAG_PREFIX + name: of[name] for name in ("route", "variant", "adapter", "prompt") if of[name] != NONE}
    if of["tenant"] == _COPIES:
        tags[f"{TAG_PREFIX}account"] = "shadow"
    tenant = "" if of["tenant"] in (NONE, _COPIES) else of["tenant"]
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), amount),
        **dict.fromkeys(("BillingAccountId", "BillingAccountName"), account),
        "BillingCurrency": "USD",
        "BillingPeriodStart": _instant(month),
        "BillingPeriodEnd": _instant((month + timedelta(days=32)).replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"{meter} of route {of['route']}, variant {of['variant']}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _instant(day),
        "ChargePeriodEnd": _instant(day + timedelta(days=1)),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), str(quantity)),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), unit),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), provider),
        "ResourceId": of["backend"],
        "ResourceName": "",  # it has no other name
        "ResourceType": "Model backend",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": "Trivet",
        **dict.fromkeys(("SubAccountId", "SubAccountName"), tenant),
        "Tags": json.dumps(tags, ensure_ascii=False),
        "x_Meter": meter,
    }


def _quantity(sums: Sums, component: str) -> int:
    if component in {"input", "prefill"}:
        return sums.input_tokens - sums.cached_tokens
    return sums.cached_tokens if component == "cached" else sums.output_tokens


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT00:00:00Z")
