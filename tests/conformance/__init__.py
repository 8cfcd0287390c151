"""What Tailrace carries of PostgreSQL: types with their edge values, and features, as tables that tests and docs are made from."""
