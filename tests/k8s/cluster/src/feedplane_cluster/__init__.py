"""A real one-node Kubernetes cluster and a container engine that tests start and stop on a Linux machine, as root."""
