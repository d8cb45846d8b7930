"""The archive in a browser: films, search, pictures and labels; and a contact sheet without a server."""
