"""``deploy.yml``: what it means (``model``) and how it is read (``reading``). Importing this loads neither."""
