"""What every other part uses: declared fields, registries, files of users, files that are written whole."""
