"""What the company holds at the start: partners, items, tax codes, reference data, column lengths (JSON)."""
