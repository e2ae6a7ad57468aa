"""What documents say of themselves in fields, and conditions on them."""
