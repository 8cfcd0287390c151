"""A continuous run's destination compared with its source while both go on: both at one point, as sums of hashes of their rows."""
