"""Formats of pages: PDFs and pictures, whose text is recognized where there is none."""
