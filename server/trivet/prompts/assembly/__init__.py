"""From a prompt, passages and a conversation to the token ids of one request, stable parts first."""
