"""The parts of `compare_peers`: the cases, one module a peer, the roof, the pipes, the report."""
