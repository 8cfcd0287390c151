"""The demo: a real database arrives masked in another one, on embedded parts that are gone afterwards."""
