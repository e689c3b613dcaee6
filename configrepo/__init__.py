"""The room that remembers: the configuration language and the Git store of one BQN server."""
