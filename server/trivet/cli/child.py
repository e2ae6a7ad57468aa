"""The `trivet` command as a child that dies with its parent, however that ends: nothing must stay behind, and the data
folder has to be free for whoever comes next."""

from __future__ import annotations

from trivet.cli.main import main
from trivet.vector.lifeline import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    main(prog_name="trivet")
