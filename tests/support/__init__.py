"""What several tests need and that is no test: fakes, faults, and ways to ask, to wait and to read notebooks."""
