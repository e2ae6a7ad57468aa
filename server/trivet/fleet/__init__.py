"""Engine nodes on other machines: one of them as a backend, and several as one."""
