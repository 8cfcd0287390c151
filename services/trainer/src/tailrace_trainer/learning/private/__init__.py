"""Learning under differential privacy: what leaves was computed with noise, from the first category to the last weight."""
