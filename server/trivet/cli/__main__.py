"""`python -m trivet.cli` is the `trivet` command."""

from trivet.cli.main import main

main()
