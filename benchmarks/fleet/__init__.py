"""Engine nodes killed, stopped and cut off behind one gateway."""
