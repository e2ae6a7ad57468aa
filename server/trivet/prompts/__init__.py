"""The prompts leg: versioned prompt files, and their assembly into token ids."""
