"""The PostgreSQL catalogue as Tailrace sees it: what a database holds, without any of its values."""
