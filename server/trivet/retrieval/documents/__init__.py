"""What comes in: files and documents, as text and passages."""
