"""What the benchmarks share: the machine, models, servers, prompts, figures."""
