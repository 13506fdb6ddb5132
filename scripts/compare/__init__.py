"""The parts of the comparison: cases, one module a peer, the roof, the pipes, the report."""
