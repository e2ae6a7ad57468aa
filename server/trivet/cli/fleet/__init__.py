"""`trivet fleet`: engine nodes on other machines."""
