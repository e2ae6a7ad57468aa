"""The Admin service's calls about rollouts."""

from trivet.rpc.rollouts.calls import RolloutCalls
from trivet.rpc.rollouts.watches import RolloutWatches

__all__ = ["RolloutCalls", "RolloutWatches"]
