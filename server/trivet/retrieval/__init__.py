"""The retrieval leg: documents become passages, passages are found again."""
