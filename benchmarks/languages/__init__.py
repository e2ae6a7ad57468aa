"""How well the term search finds passages in other languages than English."""
