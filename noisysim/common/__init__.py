"""What every other part uses: declared fields, checks, files of users, files that are written whole."""
