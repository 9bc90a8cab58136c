"""What the benches share: facts of the machine, processes, a running cluster, and the report."""
