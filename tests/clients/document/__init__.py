"""docs/API.md as a test: every example is sent, and every answer compared."""
