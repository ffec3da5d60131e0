"""One file says everything: Ray Serve's deploy config, with Graftwork's settings as `args`."""
