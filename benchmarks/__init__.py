"""The benchmarks, one package each: `python -m benchmarks.NAME --help`, from the root of the repository."""
