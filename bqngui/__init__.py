"""The room that shows and asks: the Flask GUI of one BQN server."""
