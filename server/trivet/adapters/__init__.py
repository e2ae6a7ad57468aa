"""The adapters leg: checked, copied, loaded, leased. Read `manager` first."""
