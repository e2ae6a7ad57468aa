"""What indexes do without a generation: searches, and what their models do for texts of nobody's documents."""

from trivet.pipeline.search.index_models import IndexModelPipeline
from trivet.pipeline.search.search import SearchPipeline

__all__ = ["IndexModelPipeline", "SearchPipeline"]
