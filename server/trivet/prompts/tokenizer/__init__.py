"""Text to token ids with a model's own tokenizer and chat template; text never becomes a control token."""
