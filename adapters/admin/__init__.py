"""The admin plane's resources that live in the registry, one file each."""
