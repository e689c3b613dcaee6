"""The room that acts on time: who leads, what must be sent, what must be applied."""
