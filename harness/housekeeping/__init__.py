"""What runs, images and the cache take on this machine's disks, and how it is given back."""
