"""What planc keeps of Kubernetes objects: decoded subsets, flat rows, and the tables that hold them."""
