"""What tests of receipts and of their log share."""
