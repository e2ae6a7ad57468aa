"""`trivet drift`: whether routes are asked other questions than before."""
