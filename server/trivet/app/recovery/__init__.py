"""Backups of data folders, putting them back, and finding out what is wrong with one."""
