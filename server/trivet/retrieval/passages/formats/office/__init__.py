"""Documents that are archives of XML: opened within bounds, read for their text alone."""
