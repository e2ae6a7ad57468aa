"""Fixtures that several areas share; each is made when the first test asks for it."""

pytest_plugins = ("engine_fixtures",)
