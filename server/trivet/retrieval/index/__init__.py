"""The living index: its live and retained snapshots, writing, renewal, maintenance."""
