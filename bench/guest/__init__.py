"""What ``python -m bench buses`` runs on the virtual board: ours, the libraries by themselves, and the peers."""
