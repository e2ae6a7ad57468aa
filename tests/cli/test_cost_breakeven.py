"""`trivet cost breakeven`: the worked example as it is printed, and what is no question."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from trivet.cli.main import main

ADAPTER = ["--training-usd", "5", "--adapter-decode", "1.15"]
WORK = [
    "--prefix-tokens",
    "900",
    "--input-tokens",
    "60",
    "--output-tokens",
    "120",
    "--training-usd",
    "5",
    "--adapter-decode",
    "1.15",
]
SHEET = ["--input-price", "0.20", "--cached-price", "0.02", "--output-price", "0.60"]
MACHINE = ["--usd-per-hour", "2.50", "--prefill-rate", "50_000", "--decode-rate", "5e3", "--busy", "0.55"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["cost", "breakeven", *arguments])


def test_the_worked_example() -> None:
    told = run(*WORK, *SHEET, *MACHINE, "--requests-per-month", "200_000_000").stdout
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert lines == [
        "by the price sheet by the machine's time",
        "a request with the prompt 0.000102 USD 0.0000175 USD",
        "a request with the adapter 0.000084 USD 0.00002 USD",
        "the prompt, idle time included 0.000031818182 USD",
        "the adapter, idle time included 0.000036363636 USD",
        "machine time with the prompt 25.2 ms",
        "machine time with the adapter 28.8 ms",
        "the adapter has paid after 277,778 requests never",
        "it saves time if the prefix misses in more than 20% of requests",
        "",
        "The machine (1825 USD a month) against an API of these prices: cheaper from 17,892,157 requests a month on, "
        "6.81 a second, which is 17.2% of what it can do (39.7 a second).",
        "200,000,000 requests a month with the prompt: 20400 USD by the price sheet, 3650 USD by machines (2).",
        "",
        "This assumes:",
        "a request has 900 tokens of prefix, 60 of its own and 120 of answer; the prefix is not cached in 0% "
        "of requests",
        "the adapter cost 5 USD once, keeps 0 tokens of prefix, decodes 1.15 times as long, and answers as well",
        "prices per million tokens: input 0.2, cached 0.02, output 0.6 USD",
        "a machine at 2.5 USD an hour, 730 hours a month, computes 50000 tokens of prefill or 5000 of decode a second, "
        "and is busy 55% of its time",
        "time that the adapter spares is worth money only if fewer machines are paid for, or they do other work",
    ]


def test_json_has_what_it_assumes_and_null_for_never() -> None:
    data = json.loads(run(*WORK, *SHEET, *MACHINE, "--json").stdout)
    assert data["by_sheet"] == {"prompt_usd": "0.000102", "adapter_usd": "0.000084", "requests": 277_778}
    assert data["by_machine"]["payback"] == {"prompt_usd": "0.0000175", "adapter_usd": "0.00002", "requests": None}
    assert data["by_machine"]["pays_if_missed"] == "0.2"
    assert data["assumptions"]["machine"]["busy"] == "0.55"
    assert data["machine_against_api"]["requests"] == 17_892_157


def test_one_model_alone_says_nothing_of_the_other() -> None:
    told = run(*WORK, *SHEET).stdout
    assert "277,778 requests" in told
    assert "machine at" not in told
    assert set(json.loads(run(*WORK, *MACHINE, "--json").stdout)) == {"assumptions", "by_machine"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (WORK, "expected the prices"),
        ([*WORK, *SHEET[:4]], "--output-price is missing"),
        ([*WORK, *MACHINE[:4]], "--decode-rate is missing"),
        ([*WORK, *SHEET, "--training-usd", "nan"], "got 'nan'"),
        ([*WORK, *SHEET, "--training-usd", "1e99"], "at most 1,000,000,000,000"),
        ([*WORK, *SHEET, "--prefix-missed", "1.5"], "at most 1"),
        ([*WORK, *SHEET, "--adapter-decode", "0.9"], "at least 1"),
        ([*WORK, *SHEET, "--prefix-tokens", "-5"], "whole number"),
        ([*WORK, *MACHINE, "--prefill-rate", "0"], "more than 0"),
    ],
)
def test_wrong_numbers_are_told(arguments: list[str], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())


def test_options_of_the_report_are_not_taken_in_silence() -> None:
    result = CliRunner().invoke(main, ["cost", "--by", "tenant", "breakeven", *WORK, *SHEET])
    assert result.exit_code == 2
    assert "would have no effect" in " ".join(result.stderr.split())
