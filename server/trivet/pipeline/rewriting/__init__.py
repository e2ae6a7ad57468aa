"""A follow-up question, written anew by the variant's model so that it stands alone, before it is searched with."""

from trivet.pipeline.rewriting.rewriter import QuestionRewriter

__all__ = ["QuestionRewriter"]
