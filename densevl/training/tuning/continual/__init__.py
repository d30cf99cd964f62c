"""Learning in sessions of new classes: what is learnt, what is forgotten, and what was never taught."""
