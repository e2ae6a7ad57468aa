"""What filters by documents' fields cost a search."""
