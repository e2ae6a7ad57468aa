"""In the path of a server's processes: each can be sampled, as `benchmarks.path.profiled` does it, into a file of its
own in the folder that the environment names."""

import os
import signal
from pathlib import Path

from benchmarks.path.profiled import Sampler

_sampler = Sampler(Path(os.environ["BENCHMARK_SAMPLES"]) / f"{os.getpid()}.json")
signal.signal(signal.SIGPROF, _sampler.sample)
signal.signal(signal.SIGUSR1, _sampler.start)
signal.signal(signal.SIGUSR2, _sampler.end)
