"""`trivet cost`: what requests cost, and what would cost less."""
