"""What each format reads as: sections of text under headings, with their tables."""
