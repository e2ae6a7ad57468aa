"""Where adapters come from: folders and object stores."""
