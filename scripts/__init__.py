"""What is run around the program: the demo and its tour, the screenshots."""
