"""Everything on one machine: broker, learner, consumer and producer, watched while they work."""
