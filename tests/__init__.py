"""The tests: a folder for each package of the server; `support` is what they share."""
