"""Everything that is compiled, and nothing else; it imports nothing of the rest of fastbp."""
