"""The vocabulary of DataWald: entities, records, outcomes, agents. Pure Python, no I/O: every other room speaks it."""
