"""What is asked of a running cluster through reflection, one file for each part of the contract."""
