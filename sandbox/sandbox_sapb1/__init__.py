"""A simulator of SAP Business One's Service Layer (v2) with a seeded company, for tests and demos.

It follows what is recorded and documented of the real one. What it does not play it refuses with a 501 that names
the route or property, so that no client mistakes a gap of the sandbox for a behaviour of SAP.

Reading order: ``app`` (what a request goes through), ``company`` (what the company holds), ``orders``, ``deliveries``
and ``drafts`` (what can be done to it), ``arithmetic`` (what a document comes to), ``control`` (the strings behind
the stage, under ``/_sandbox/``).
"""
