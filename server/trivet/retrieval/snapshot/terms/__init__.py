"""The sparse half of the search: which terms a text has, and what each counts."""

from trivet.retrieval.snapshot.terms.names import codes
from trivet.retrieval.snapshot.terms.scripts import is_name, is_of_other_script
from trivet.retrieval.snapshot.terms.vectors import TermVectors

__all__ = ["TermVectors", "codes", "is_name", "is_of_other_script"]
