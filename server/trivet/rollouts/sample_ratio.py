"""Sample-ratio mismatch: whether units arrive in the arms in the proportion that the weights say.

If they do not, something sorts units before they are counted (a client that gives up in one arm, a filter, a bug), and
no comparison of the arms can be trusted. The test is the Dirichlet-multinomial e-process of Lindon and Malek ("Anytime-
valid inference for multinomial count data", 2022): the likelihood under a Dirichlet mixture around the weights, over
that under the weights. Without mismatch it reaches 1 / alpha with a probability of at most alpha, at any look.
"""

from __future__ import annotations

from math import lgamma, log

ALPHA = 0.001
_CONCENTRATION = 100.0
_SMALLEST_PARAMETER = 5.0


def log_evidence(stable_units: int, candidate_units: int, share: float) -> float:
    """The natural logarithm of the e-value of a mismatch, from counts of new units in a step.

    Raises ValueError for negative counts or a share that is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"the candidate's share is {share}, expected a number between 0 and 1, both excluded")
    if stable_units < 0 or candidate_units < 0:
        raise ValueError(f"{stable_units} and {candidate_units} units, expected counts of at least 0")
    concentration = max(_CONCENTRATION, _SMALLEST_PARAMETER / min(share, 1 - share))
    total = lgamma(concentration) - lgamma(concentration + stable_units + candidate_units)
    for count, weight in ((stable_units, 1 - share), (candidate_units, share)):
        total += lgamma(concentration * weight + count) - lgamma(concentration * weight) - count * log(weight)
    return total


def mismatch(stable_units: int, candidate_units: int, share: float) -> bool:
    """Whether the counts contradict the weights at `ALPHA`, looked at as often as one likes."""
    return log_evidence(stable_units, candidate_units, share) >= -log(ALPHA)
