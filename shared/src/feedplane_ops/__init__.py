"""Process plumbing of every Feedplane service. Import the modules: this package itself loads nothing."""
