"""Coupons between a shop and books that are folders of JSON files."""
