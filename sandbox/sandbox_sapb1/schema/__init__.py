"""The entity model cut from a real $metadata, and recorded default values (JSON)."""
